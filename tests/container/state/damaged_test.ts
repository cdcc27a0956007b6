/** State files that are damaged in every way hurt no other container's command, are told of, and can be removed. */

import assert from "node:assert/strict";
import { clear, cli, groupsOf, marker, monitorsOf, processesWith, until } from "../../helpers/life.ts";
import { makeWorld, type Result, type World } from "../../helpers/world.ts";

const NONE = ["--network", "none"] as const;

/** Ways in which what was at a path can be damaged. */
const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
  missing: () => {},
  empty: (path) => Deno.writeTextFileSync(path, ""),
  truncated: (path) => Deno.writeTextFileSync(path, '{"version":1,"id":"'),
  garbage: (path) => Deno.writeFileSync(path, Uint8Array.from({ length: 4096 }, (_, i) => i * 7 % 256)),
  "of wrong types": (path) => Deno.writeTextFileSync(path, wrong(path)),
  "a folder": (path) => {
    Deno.mkdirSync(path);
    Deno.writeTextFileSync(`${path}/inside`, "x");
  },
  "a FIFO": (path) => void new Deno.Command("mkfifo", { args: [path] }).outputSync(),
  "a dangling link": (path) => Deno.symlinkSync("/nowhere/at/all", path),
  "a link up": (path) => Deno.symlinkSync("../..", path),
  "a circle of links": (path) => Deno.symlinkSync(path.slice(path.lastIndexOf("/") + 1), path),
  huge: (path) => {
    Deno.writeTextFileSync(path, "");
    Deno.truncateSync(path, 1 << 40);
  },
};

/** JSON that has the names of fields, with other types. */
function wrong(path: string): string {
  const id = /[0-9a-f]{12}/.exec(path)?.[0];
  return JSON.stringify({
    ...{ version: 1, id, name: 5, image: {}, lower: "x", command: null, options: [], created: 3, keep: "yes" },
    ...{ cgroups: ["/"], manifests: 7, schemaVersion: "2", imageLayoutVersion: 1, status: 5, sequence: 1, end: 1 },
    ...{ bridge: 1, subnets: [{}], internal: 0, time: 1, action: 2, diffId: [], entries: "1", bytes: null },
  });
}

/** What lies in a container's folder, or among its marks, and whether `ps -a` and `gc` tell of it. */
const OF_CONTAINER: readonly { path: string; tells?: (damage: string) => boolean }[] = [
  { path: "ID/container.json", tells: () => true },
  { path: "ID/state" },
  { path: "ID/log" },
  { path: ".live/ID", tells: () => true },
  { path: ".live/ID.process", tells: (damage) => damage !== "missing" },
  { path: ".live/ID.freeze" },
];

/** What all containers share. */
const SHARED = [
  "containers/.names/stranger",
  "containers/.events",
  "containers/.events.1",
  "containers/.networks/stranger.json",
  "containers/.layers/0000000000000000",
  "containers/0123456789",
  "containers/0123456789ab",
  "images/.store/users/00000000000000000000",
  "images/.store/index.json",
  "images/.store/layers/00000000000000000000/layer.json",
  "images/.unpacked/stranger@1-2-3",
];

/** What is done with a healthy container, and with all. */
const COMMANDS: readonly (readonly string[])[] = [
  ["ps"],
  ["ps", "-a"],
  ["exec", "healthy", "true"],
  ["logs", "healthy"],
  ["inspect", "healthy"],
  ["stop", "-t", "0", "healthy"],
  ["start", "healthy"],
  ["restart", "-t", "0", "healthy"],
  ["kill", "healthy"],
  ["rm", "-f", "healthy"],
  ["run", "--rm", ...NONE, "busybox", "true"],
  ["run", "-d", "--name", "healthy", ...NONE, "busybox", "sleep", "1000"],
  ["events", "--since", "1h", "--until", "0s"],
  ["network", "ls"],
  ["network", "prune"],
  ["gc"],
];

/** Runs a command that must not wait for anything. */
async function quick(world: World, ...words: readonly string[]): Promise<Result> {
  const child = world.start(words);
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const { code, signal, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  assert.equal(signal, null, `${words.join(" ")} waits for ever`);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** A store that has been used, and what is in folders that are made when they are needed. */
function prepare({ folders: { images, containers } }: World): void {
  const made = [`${images}/.store/users`, `${images}/.store/layers/00000000000000000000`, `${images}/.unpacked`];
  for (const folder of [...made, `${containers}/.networks`, `${containers}/.layers`]) {
    Deno.mkdirSync(folder, { recursive: true });
  }
  Deno.writeTextFileSync(`${images}/.store/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
}

function removeAll(path: string): void {
  new Deno.Command("rm", { args: ["-rf", path] }).outputSync();
}

function sleeping(seconds: string): number {
  return processesWith(seconds).filter((pid) => Deno.readTextFileSync(`/proc/${pid}/comm`) === "sleep\n").length;
}

for (const [damage, make] of Object.entries(DAMAGES)) {
  Deno.test(`state files that are ${damage} hurt no other container's command; ps -a and gc tell of them, rm -f ends what runs`, async () => {
    await using world = makeWorld();
    const { containers } = world.folders, seconds = marker();
    const hurt: { id: string; path: string; tells: boolean }[] = [];
    for (const { path, tells } of OF_CONTAINER) {
      const id = await cli(world, "run", "-d", ...NONE, "--pids-limit", "20", "busybox", "sleep", seconds);
      hurt.push({ id, path: `${containers}/${path.replace("ID", id)}`, tells: tells?.(damage) ?? false });
    }
    await cli(world, "run", "-d", "--name", "healthy", ...NONE, "busybox", "sleep", "1000");
    prepare(world);
    for (const path of [...hurt.map(({ path }) => path), ...SHARED.map((path) => `${world.home}/${path}`)]) {
      removeAll(path);
      make(path);
    }
    for (const words of COMMANDS) {
      const { code, stderr } = await quick(world, ...words);
      assert.equal(code, 0, `${words.join(" ")}: ${stderr}`);
    }
    assert.equal(sleeping(seconds), hurt.length, "all that is damaged still runs");
    const listed = (await quick(world, "ps", "-a")).stdout, collected = (await quick(world, "gc")).stderr;
    for (const { id, path, tells } of hurt) {
      assert.equal(new RegExp(`^${id} .* damaged`, "m").test(listed), tells, `${path}\n${listed}`);
      const isUnfinished = damage === "missing" && path.endsWith("container.json");
      assert.equal(collected.includes(`container ${id} is damaged`), tells && !isUnfinished, `${path}\n${collected}`);
      if (tells) assert((await quick(world, "start", id)).code > 0, `${path}: start`);
    }
    for (const { id, path } of hurt) {
      const { code, stderr } = await quick(world, "rm", "-f", id);
      assert.deepEqual([code, stderr], [0, ""], `${path}: rm -f`);
      assert.deepEqual(monitorsOf(world, id), [], path);
    }
    await until("ended", () => sleeping(seconds) === 0);
    const network = await quick(world, "network", "rm", "stranger");
    assert.equal(network.code === 0, damage !== "missing", network.stderr);
    for (const path of [".networks", ".layers", "0123456789", ".events.1"]) removeAll(`${containers}/${path}`);
    removeAll(`${containers}/.events`);
    await clear(world);
  });
}

Deno.test("stop and kill end a container whose container.json is damaged", async () => {
  await using world = makeWorld();
  for (const words of [["stop", "-t", "0"], ["kill"], ["kill", "-s", "TERM"]]) {
    const seconds = marker();
    const id = await cli(world, "run", "-d", "--init", ...NONE, "busybox", "sleep", seconds);
    Deno.writeTextFileSync(`${world.folders.containers}/${id}/container.json`, "{");
    const { code, stderr } = await quick(world, ...words, id);
    assert.deepEqual([code, stderr], [0, ""], words.join(" "));
    await until("ended", () => sleeping(seconds) === 0);
    await cli(world, "rm", "-f", id);
  }
});

Deno.test("gc --orphans ends a container whose home was removed while it ran; gc and doctor tell of it", async () => {
  await using lost = makeWorld();
  await using world = makeWorld();
  const seconds = marker();
  const id = await cli(lost, "run", "-d", "--pids-limit", "20", "busybox", "sleep", seconds);
  const rm = await cli(lost, "run", "-d", "--rm", "--restart", "no", ...NONE, "busybox", "sleep", seconds);
  removeAll(lost.folders.containers);
  const told = (await quick(world, "gc")).stderr;
  for (const one of [id, rm]) {
    assert(
      told.includes(`container ${one} is running, but its directory ${lost.folders.containers}/${one} is gone`),
      told,
    );
  }
  assert.match((await quick(world, "doctor")).stdout, new RegExp(`containers without a folder .*${id}`));
  assert.equal(sleeping(seconds), 2, "nobody has asked to end them");
  const { code, stdout, stderr } = await quick(world, "gc", "--orphans");
  assert.deepEqual([code, stderr], [0, ""]);
  for (const one of [id, rm]) assert(stdout.includes(`killed ${one}, whose directory is gone\n`), stdout);
  assert.equal(processesWith(seconds).length, 0);
  assert.deepEqual(groupsOf([id, rm]), []);
  assert.doesNotMatch((await quick(world, "network", "inspect", "sauropod0")).stdout, new RegExp(id));
  assert.equal((await quick(world, "gc")).stderr, "");
});

Deno.test("rm -f of what is a link to another container's folder removes the link alone", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const id = await cli(world, "create", "--name", "healthy", ...NONE, "busybox", "true");
  Deno.symlinkSync(id, `${containers}/0123456789ab`);
  assert.match((await quick(world, "ps", "-a")).stdout, /^0123456789ab .* damaged/m);
  assert.deepEqual((await quick(world, "rm", "-f", "0123456789ab")).code, 0);
  assert.deepEqual([...Deno.readDirSync(containers)].map(({ name }) => name).filter((name) => name.length === 12), [
    id,
  ]);
  await cli(world, "start", id);
  assert.equal(await cli(world, "wait", id), "0");
  await clear(world);
});
