import assert from "node:assert/strict";
import { type Change, changes, copyTo } from "../../../mod.ts";
import { readRecord, writeRecord } from "../../../lib/container/state/record.ts";
import { findContainer } from "../../../lib/container/state/names.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, mknodAt, openAt, S_IF } from "../../../ffi/fs/fs.ts";
import { setXattr } from "../../../ffi/fs/xattrs.ts";
import { converse, host, say } from "../../helpers/inside.ts";
import { lookAtMachine } from "../../helpers/leftovers.ts";
import { hasAlpine } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const tree = `${world.folders.images}/tree`;
await host("cp", "-a", world.image, tree);
await host(
  "sh",
  "-ec",
  `cd ${tree}; mkdir -p opt/full/sub opt/empty dev proc sys; echo 1 > opt/full/a; echo 2 > opt/full/sub/b; echo 3 > opt/file
  ln -s file opt/link; ln opt/file opt/hard; ln -s /elsewhere etc/hosts; touch -d 2001-01-01 opt/full opt/file opt`,
);

const NONE = { network: "none", image: "tree" } as const;
let made = 0;

/** What `sauropod diff` prints of a container that has run `script`. */
async function diffOf(script: string, options: Parameters<typeof say>[2] = {}): Promise<string[]> {
  const name = `box${made++}`;
  await say(world, script, { ...NONE, ...options, name, keep: true });
  return await printed(name);
}

async function printed(name: string): Promise<string[]> {
  const { code, stdout, stderr } = await world.cli(["diff", name]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  return stdout.split("\n").slice(0, -1);
}

Deno.test("diff: a container that changed nothing shows nothing, whatever was mounted in it", async () => {
  const volume = `${world.home}/volume`;
  Deno.mkdirSync(volume);
  Deno.writeTextFileSync(`${volume}/file`, "");
  const options = {
    volumes: [`${volume}:/data/deep`, `${volume}/file:/opt/new-file`],
    tmpfs: ["/scratch"],
    cwd: "/work/here",
  };
  for (const image of ["tree", "busybox", "host", ...(hasAlpine() ? ["alpine"] : [])]) {
    assert.deepEqual(await diffOf("true", { image }), [], image);
  }
  assert.deepEqual(await diffOf("echo x > /data/deep/x; echo x > /scratch/x; ls /etc > /dev/null", options), []);
});

/** A script, and what diff prints. */
const TABLE: [script: string, lines: string[]][] = [
  ["echo x > /opt/new", ["C /opt", "A /opt/new"]],
  ["mkdir -p /srv/a/b; echo x > /srv/a/b/c", ["A /srv", "A /srv/a", "A /srv/a/b", "A /srv/a/b/c"]],
  ["echo x >> /opt/file", ["C /opt", "C /opt/file"]],
  ["chmod 600 /opt/file", ["C /opt", "C /opt/file"]],
  ["chmod 700 /opt/full", ["C /opt", "C /opt/full"]],
  ["chown 5:6 /opt/full/sub/b", ["C /opt", "C /opt/full", "C /opt/full/sub", "C /opt/full/sub/b"]],
  ["rm /opt/file", ["C /opt", "D /opt/file"]],
  ["rm -r /opt/full", ["C /opt", "D /opt/full"]],
  ["rm -r /opt/full/sub", ["C /opt", "C /opt/full", "D /opt/full/sub"]],
  ["rm /opt/file; echo new > /opt/file", ["C /opt", "C /opt/file"]],
  // replaced folders: what was in them is gone, what came is new
  ["rm -r /opt/full; mkdir /opt/full; echo n > /opt/full/n", [
    "C /opt",
    "C /opt/full",
    "D /opt/full/a",
    "A /opt/full/n",
    "D /opt/full/sub",
  ]],
  ["rm -r /opt/full; mkdir /opt/full; echo n > /opt/full/a", [
    "C /opt",
    "C /opt/full",
    "C /opt/full/a",
    "D /opt/full/sub",
  ]],
  // another kind
  ["rm -r /opt/full; echo x > /opt/full", ["C /opt", "C /opt/full"]],
  ["rm /opt/file; mkdir /opt/file; echo x > /opt/file/in", ["C /opt", "C /opt/file", "A /opt/file/in"]],
  ["rm /opt/link; ln -s other /opt/link", ["C /opt", "C /opt/link"]],
  ["ln -s /etc/passwd /opt/l; mkfifo /opt/p", ["C /opt", "A /opt/l", "A /opt/p"]],
  // made and gone again
  ["mkdir /srv; rmdir /srv", []],
  ["touch /opt/x; rm /opt/x", ["C /opt"]],
  ["mkdir /opt/empty/x; rmdir /opt/empty/x; touch -d 2001-01-01 /opt", ["C /opt", "C /opt/empty"]],
  // what is ours is no change; what is beside it is
  ["echo x > /etc/new; rm /etc/group", ["C /etc", "D /etc/group", "A /etc/new"]],
  ["mkdir /srv; chmod 711 /srv", ["A /srv"]],
  // names
  [
    "touch '/opt/new\nline' \"$(printf '/opt/\\377\\033')\" '/opt/back\\slash'",
    ["C /opt", "A /opt/back\\\\slash", "A /opt/new\\nline", "A /opt/\\xff\\x1b"].sort(),
  ],
];

Deno.test("diff: additions, changes and deletions are told as docker tells them", async () => {
  for (const [script, lines] of TABLE) {
    const found = await diffOf(script);
    assert.deepEqual(script.includes("printf") ? found.sort() : found, lines, script);
  }
});

Deno.test("as JSON there are sizes, modes and owners before and after, and names that are no text", async () => {
  const script =
    "echo more >> /opt/file; chmod 4711 /opt/file; rm /opt/hard; mkdir /opt/d; touch \"$(printf '/opt/\\377')\"";
  await diffOf(script);
  const { stdout } = await world.cli(["diff", "--json", `box${made - 1}`]);
  const found: Change[] = JSON.parse(stdout);
  const file = { type: "file", uid: 0, gid: 0 } as const;
  const byPath = new Map(found.map((change) => [change.path, change]));
  assert.deepEqual(byPath.get("/opt/file"), {
    kind: "changed",
    path: "/opt/file",
    before: { ...file, mode: 0o644, size: 2 },
    after: { ...file, mode: 0o4711, size: 7 },
  });
  assert.deepEqual(byPath.get("/opt/hard"), {
    kind: "deleted",
    path: "/opt/hard",
    before: { ...file, mode: 0o644, size: 2 },
  });
  assert.equal(byPath.get("/opt/d")?.after?.type, "folder");
  assert.equal(byPath.get("/opt/\udcff")?.kind, "added");
  assert.deepEqual(await changes(`box${made - 1}`, world.folders), found);
});

Deno.test("what sauropod cp puts into a container that has ended is a change, also below /dev and in /etc/hosts", async () => {
  assert.deepEqual(await diffOf("true"), []);
  const name = `box${made - 1}`;
  Deno.writeTextFileSync(`${world.home}/hosts`, "127.0.0.1 x\n");
  await copyTo(name, `${world.home}/hosts`, "/dev/x", world.folders);
  assert.deepEqual(await printed(name), ["C /dev", "A /dev/x"]);
});

Deno.test("diff: extended attributes of a folder are a change of it", async () => {
  assert.deepEqual(await diffOf("chmod 700 /opt/full; chmod 755 /opt/full"), []);
  const { id } = findContainer(world.folders.containers, `box${made - 1}`);
  const fd = openAt(AT_FDCWD, `${world.folders.containers}/${id}/upper/opt/full`, flags("O", "RDONLY"));
  setXattr(fd, "user.note", new Uint8Array([1]));
  close(fd);
  assert.deepEqual(await printed(`box${made - 1}`), ["C /opt", "C /opt/full"]);
});

Deno.test("diff: of an image of several layers counts what they show together", async () => {
  const { containers, images } = world.folders;
  assert.deepEqual(await diffOf("mkdir /d; echo x > /d/one; rm /opt/file; echo x > /opt/hard"), [
    ...["A /d", "A /d/one", "C /opt", "D /opt/file", "C /opt/hard"],
  ]);
  const { id } = findContainer(containers, `box${made - 1}`);
  const record = readRecord(`${containers}/${id}`);
  assert(record);
  // An upper layer that hides the lower one's file, and has a folder of its own.
  await host("mkdir", "-p", `${images}/top/opt`, `${images}/top/d`);
  mknodAt(AT_FDCWD, `${images}/top/opt/file`, S_IF.CHR);
  Deno.writeTextFileSync(`${images}/top/d/one`, "");
  writeRecord(`${containers}/${id}`, { ...record, lower: [`${images}/top`, tree] });
  assert.deepEqual((await printed(`box${made - 1}`)).filter((line) => line !== "C /opt"), [
    "C /d",
    "C /d/one",
    "C /opt/hard",
  ]);
});

Deno.test("diff: a container that runs, and keeps exchanging folders and links, is listed without a look at the host", async () => {
  const { mounts } = lookAtMachine();
  const secret = `${world.home}/secret`;
  Deno.mkdirSync(`${secret}/marker-of-the-host`, { recursive: true });
  const script = `mkdir -p /race/dir/sub /race/deep/sub; cd /race; ln -s ${secret} link; echo ready; exec 2>/dev/null
    (while :; do mv dir away; mv link dir; mv dir link; mv away dir; done) &
    (cd deep; while :; do mv sub away; ln -s ${secret} sub; rm sub; mv away sub; done) &
    read line; kill %1 %2`;
  await using live = await converse(world, script, { ...NONE, name: "racer", init: true });
  assert.equal(await live.ask(), "ready");
  let lines = 0;
  for (const end = Date.now() + 2500; Date.now() < end;) {
    for (const { path } of await changes("racer", world.folders)) {
      assert.doesNotMatch(path, /marker-of-the-host/);
      lines++;
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  assert(lines > 100);
  assert.deepEqual(lookAtMachine().mounts, mounts);
});

Deno.test("diff: folders in each other are told however deep, and a container that is not there is refused", async () => {
  await say(
    world,
    "cd /opt; i=0; while [ $i -lt 700 ]; do mkdir d; cd d; i=$((i+1)); done",
    { ...NONE, name: "deep", keep: true },
  );
  assert.equal((await changes("deep", world.folders)).at(-1)?.path, `/opt${"/d".repeat(700)}`);
  await assert.rejects(changes("nobody", world.folders), { code: "container-not-found" });
});
