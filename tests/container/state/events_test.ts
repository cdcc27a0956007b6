import assert from "node:assert/strict";
import { type ContainerEvent, recordEvent } from "../../../lib/container/state/event.ts";
import { parseEvent, parseFilters, readEvents } from "../../../lib/container/state/events.ts";
import { until } from "../../helpers/until.ts";
import { makeContainer, now } from "../../helpers/log.ts";
import { PROJECT } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const ID = "0123456789ab";
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What `sauropod events --since … --until 0s --json` prints. */
async function past(world: World, flags: readonly string[] = []): Promise<ContainerEvent[]> {
  const { code, stdout, stderr } = await world.cli(["events", "--since", "1h", "--until", "0s", "--json", ...flags]);
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

const EVENT: ContainerEvent = {
  time: "2026-11-24T06:15:12.699123456Z",
  action: "start",
  id: ID,
  name: "web",
  image: "alpine",
};
const TEXT = JSON.stringify(EVENT);
const FILTERS: [string[], boolean][] = [
  [[], true],
  [["container=web"], true],
  [["container=we"], false],
  [[`container=${ID}`], true],
  [["container=0123"], true],
  [["container="], false],
  [["action=start"], true],
  [["event=start"], true],
  [["action=die", "event=start"], true],
  [["action=die"], false],
  [["image=alpine"], true],
  [["image=alpine:3.20"], false],
  [["action=start", "container=db"], false],
  [["container=db", "container=web", "action=start"], true],
];

Deno.test("events: filters of one kind are alternatives, and of each kind one must hold", () => {
  for (const [filters, expected] of FILTERS) assert.equal(parseFilters(filters)(EVENT), expected, filters.join(" "));
  const tagged = { ...EVENT, image: "registry:5000/app:1.2" };
  for (const image of ["registry:5000/app:1.2", "registry:5000/app"]) assert(parseFilters([`image=${image}`])(tagged));
  assert.equal(parseFilters(["image=registry"])(tagged), false);
  for (const wrong of ["", "web", "colour=red", "toString=x", "=x"]) {
    assert.throws(() => parseFilters([wrong]), { code: "bad-filter" }, wrong);
  }
});

Deno.test("events: an event is read behind the half of another, and what is none is left out", () => {
  assert.deepEqual(parseEvent(TEXT), EVENT);
  assert.deepEqual(parseEvent(`${TEXT.slice(0, 60)}${TEXT}`), EVENT);
  for (const line of ["", "{", "null", "[]", "3", '{"time":1}', TEXT.slice(0, -1), "\0\0\0"]) {
    assert.equal(parseEvent(line), undefined, line);
  }
});

Deno.test("a container's life is told: create, start, die with its exit code, destroy", async () => {
  await using world = makeWorld();
  assert.equal((await world.cli(["--network", "none", "--name", "web", "busybox", "sh", "-c", "exit 3"])).code, 3);
  assert.equal((await world.cli(["--network", "none", "--rm", "busybox", "true"])).code, 0);
  assert.equal((await world.cli(["--network", "none", "--rm", "--init", "busybox", "nothing-such"])).code, 127);
  assert.equal((await world.cli(["rm", "web"])).code, 0);
  const events = await past(world);
  const [{ id } = EVENT, , , { id: other } = EVENT] = events;
  const image = "busybox", name = "web";
  assert.deepEqual(events.map(({ time: _, ...rest }) => rest), [
    { action: "create", id, name, image },
    { action: "start", id, name, image },
    { action: "die", id, name, image, exitCode: 3, oomKilled: false },
    { action: "create", id: other, image },
    { action: "start", id: other, image },
    { action: "die", id: other, image, exitCode: 0, oomKilled: false },
    { action: "destroy", id: other, image },
    ...["create", "destroy"].map((action) => ({ action, id: events[7]?.id, image })),
    { action: "destroy", id, name, image },
  ]);
  const times = events.map(({ time }) => time);
  assert.deepEqual(times, [...times].sort());
  for (const time of times) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  const { stdout } = await world.cli(["events", "--since", "1h", "--until", "0s", "--filter", "action=die"]);
  assert.equal(
    stdout,
    `${times[2]} container die ${id} (exitCode=3, image=busybox, name=web)\n` +
      `${times[5]} container die ${other} (exitCode=0, image=busybox)\n`,
  );
  assert.equal((await past(world, ["--filter", "container=web"])).length, 4);
  assert.equal((await past(world, ["--filter", "container=web", "--filter", "action=start"])).length, 1);
});

Deno.test("events: a signal that killed the container, and an end that nobody saw, are told", async () => {
  await using world = makeWorld();
  const child = world.start(["--network", "none", "--name", "web", "busybox", "sleep", "1000"]);
  await until("started", () => {
    const path = `${world.folders.containers}/.events`;
    return Deno.readDirSync(world.folders.containers).some(({ name }) => name === ".events") &&
      Deno.readTextFileSync(path).includes('"start"');
  });
  child.kill("SIGKILL");
  await child.output();
  assert.equal((await world.cli(["gc"])).code, 0);
  const [, , lost] = await past(world);
  assert.deepEqual({ ...lost, time: "", id: "" }, {
    time: "",
    action: "die",
    id: "",
    name: "web",
    image: "busybox",
    exitCode: 137,
    signal: 9,
    lost: true,
  });
  assert.equal((await past(world)).length, 3);
});

Deno.test("events prints what happens from now on, as it happens, until it is time to end", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  recordEvent(containers, "start", { id: ID, name: "old" });
  const child = world.start(["events", "--filter", "container=web", "--until", "-3s"]);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const first = reader.read();
  let heard = false;
  first.then(() => heard = true);
  // It has begun to listen at some time; what was before that it does not tell.
  for (let i = 0; !heard; i++) {
    assert(i < 200, "nothing was heard in 2 s");
    recordEvent(containers, "start", { id: ID, name: "web", image: "alpine" });
    recordEvent(containers, "start", { id: ID, name: "db", image: "alpine" });
    await pause(10);
  }
  const { value = "" } = await first;
  assert.match(value, new RegExp(`^\\S+Z container start ${ID} \\(image=alpine, name=web\\)\n`));
  assert.doesNotMatch(value, /old|db/);
  while (!(await reader.read()).done);
  assert.deepEqual([(await child.status).code, await new Response(child.stderr).text()], [0, ""]);
});

Deno.test("events: what a monitor writes is completed with the name and image of its container", async () => {
  await using world = makeWorld();
  makeContainer(world.folders.containers, ID, { name: "web", image: "alpine" });
  const path = `${world.folders.containers}/.events`;
  const die = { time: now(), action: "die", id: ID, exitCode: 7 };
  Deno.writeTextFileSync(path, `${JSON.stringify(die)}\n{"time":"2026\nnonsense\n`, { append: true });
  assert.deepEqual(await past(world, ["--filter", "container=web"]), [{ ...die, name: "web", image: "alpine" }]);
});

Deno.test("events: another name is told, and used from then on; so are pauses and their ends", async () => {
  await using world = makeWorld();
  const made = await world.cli(["run", "-d", "--name", "web", "--network", "none", "busybox", "sleep", "1000"]);
  assert.equal(made.code, 0, made.stderr);
  for (const words of [["rename", "web", "site"], ["pause", "site"], ["unpause", "site"], ["rm", "-f", "site"]]) {
    assert.equal((await world.cli(words)).code, 0, words.join(" "));
  }
  const told = (await past(world)).map(({ action, name, oldName }) => ({ action, name, oldName }));
  assert.deepEqual(JSON.parse(JSON.stringify(told)), [
    { action: "create", name: "web" },
    { action: "start", name: "web" },
    { action: "rename", name: "site", oldName: "web" },
    ...["pause", "unpause", "die", "destroy"].map((action) => ({ action, name: "site" })),
  ]);
});

Deno.test("events: who begins to listen after a container got another name hears that name from its monitor, too", async () => {
  await using world = makeWorld();
  const made = await world.cli(["run", "-d", "--name", "web", "--network", "none", "busybox", "sleep", "1000"]);
  assert.equal(made.code, 0, made.stderr);
  assert.equal((await world.cli(["rename", "web", "site"])).code, 0);
  const events = readEvents(world.folders.containers, { filters: ["container=site"] });
  const first = events.next();
  assert.equal((await world.cli(["kill", "site"])).code, 0);
  const { value } = await first;
  assert.deepEqual([value?.action, value?.name], ["die", "site"]);
  await events.return(undefined);
  assert.equal((await world.cli(["rm", "site"])).code, 0);
});

Deno.test("events that many processes write at once are all there after a rotation, once each", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const writer = `
    import { recordEvent } from "${PROJECT}/lib/container/state/event.ts";
    for (let i = 0; i < 2500; i++) recordEvent("${containers}", "start", { id: Deno.args[0] + "-" + i, image: "${
    "x".repeat(80)
  }" });`;
  Deno.writeTextFileSync(`${world.home}/writer.ts`, writer);
  const outputs = await Promise.all(
    ["a", "b", "c", "d"].map((name) =>
      new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--no-lock", `${world.home}/writer.ts`, name] }).output()
    ),
  );
  for (const { code, stderr } of outputs) assert.equal(code, 0, new TextDecoder().decode(stderr));
  const files = [...Deno.readDirSync(containers)].map(({ name }) => name).sort();
  assert.deepEqual(files, [".events", ".events.1"]);
  assert(Deno.statSync(`${containers}/.events.1`).size >= 1 << 20);
  const ids = (await past(world)).map(({ id }) => id);
  const expected = ["a", "b", "c", "d"].flatMap((name) => Array.from({ length: 2500 }, (_, i) => `${name}-${i}`));
  assert.deepEqual(ids.sort(), expected.sort());
});

Deno.test("events: a listener gets every event in order while the file is rotated under it", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const stop = new AbortController();
  const seen: string[] = [];
  let losses = 0;
  const listening = (async () => {
    const events = readEvents(containers, { signal: stop.signal, onLoss: () => losses++ });
    for await (const { id } of events) seen.push(id);
  })();
  const total = 12_000;
  for (let i = 0; i < total; i++) {
    recordEvent(containers, "start", { id: `${i}`, image: "x".repeat(200) });
    if (i % 500 === 0) await pause(5);
  }
  await until("all events seen", () => seen.length === total);
  stop.abort();
  await listening;
  assert.deepEqual(seen, Array.from({ length: total }, (_, i) => `${i}`));
  assert.equal(losses, 0);
});

Deno.test("that events cannot be written or read hurts no run, and filters that make no sense are refused", async () => {
  await using world = makeWorld();
  Deno.mkdirSync(`${world.folders.containers}/.events`);
  const result = await world.cli(["--network", "none", "--rm", "busybox", "echo", "hello"]);
  assert.deepEqual(result, { code: 0, stdout: "hello\n", stderr: "" });
  const refused = await world.cli(["events", "--filter", "colour=red"]);
  assert.deepEqual([refused.code, refused.stdout], [125, ""]);
  assert.match(refused.stderr, /^sauropod: invalid filter of events "colour=red"\n.*one of container, action/);
});
