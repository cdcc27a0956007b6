/** Containers that live on their own: starting them, what they write, and their end. */

import assert from "node:assert/strict";
import { runDetached, start, wait } from "../../../mod.ts";
import { text } from "../../helpers/inside.ts";
import {
  assertApart,
  assertNothingLeft,
  clear,
  cli,
  descriptorsOf,
  eventsOf,
  groupsOf,
  inspect,
  leftIn,
  logged,
  lookApart,
  marker,
  monitorsOf,
  pids,
  processesWith,
  startWaiting,
  stateOf,
  until,
  wordsOf,
} from "../../helpers/life.ts";
import { Terminal } from "../../helpers/terminal.ts";
import { commandLine, PROJECT } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const NONE = ["--network", "none"];

/** Waits in a container until the test has made the file `now` in the volume /go. */
const WAIT_FOR_GO = "until [ -e /go/now ]; do sleep 0.02; done\n";

/** Runs a shell script in the background; the container's id. */
function runShell(world: World, script: string, ...options: readonly string[]): Promise<string> {
  return cli(world, "run", "-d", ...NONE, ...options, "busybox", "sh", "-c", script);
}

/** Runs a shell script in the background to its end; the container's id. */
async function finish(world: World, script: string, ...options: readonly string[]): Promise<string> {
  const id = await runShell(world, script, ...options);
  await until("ended", () => stateOf(world, id).status === "exited" && monitorsOf(world, id).length === 0);
  return id;
}

Deno.test("run -d prints the id and lets go of the caller's pipes, folder, environment and session at once", async () => {
  await using world = makeWorld();
  const seconds = marker();
  // Reading to the end of the pipes shows that nobody else has them.
  const id = await cli(world, "run", "-d", ...NONE, "busybox", "sleep", seconds);
  assert.match(id, /^[0-9a-f]{12}$/);
  const [monitor = 0, ...others] = monitorsOf(world);
  assert.deepEqual(others, []);
  assert.equal(Deno.readLinkSync(`/proc/${monitor}/cwd`), "/");
  assert.equal(Deno.readTextFileSync(`/proc/${monitor}/environ`), "");
  const stat = Deno.readTextFileSync(`/proc/${monitor}/stat`).split(") ")[1]?.split(" ") ?? [];
  assert.deepEqual(stat.slice(1, 5), ["1", String(monitor), String(monitor), "0"], "parent, group, session, terminal");
  const known = /^(pipe:|anon_inode:\[(pidfd|signalfd)\]|\/memfd:job|\/dev\/null$)/;
  const folder = `${world.folders.containers}/${id}`;
  for (const [fd, path] of descriptorsOf(monitor)) {
    const shared = [".live", ".lock"].map((name) => `${world.folders.containers}/${name}`);
    const isOwn = path === folder || path === `${folder}/log` || shared.includes(path);
    assert(isOwn || known.test(path), `descriptor ${fd} leads to ${path}`);
  }
  assert.equal([...descriptorsOf(monitor).values()].filter((path) => path.startsWith("pipe:")).length, 4);
  await clear(world);
});

Deno.test("run -d: a container outlives the terminal that it was started at", async () => {
  await using world = makeWorld();
  const seconds = marker();
  {
    await using terminal = new Terminal(
      commandLine(["run", "-d", ...NONE, "busybox", "sleep", seconds]),
      {
        env: { SAUROPOD_HOME: world.home },
      },
    );
    await terminal.shows(/[0-9a-f]{12}/);
    assert.equal(await terminal.ended(), 0);
  }
  // The terminal is gone, with its session.
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(processesWith(seconds).length, 1);
  assert.match(await cli(world, "ps"), /running/);
  await clear(world);
  assert.equal(processesWith(seconds).length, 0);
});

Deno.test("run -d: hanging up on the whole session of the caller does not end the container", async () => {
  await using world = makeWorld();
  const seconds = marker();
  const [program = "", ...args] = commandLine(["run", "-d", ...NONE, "busybox", "sleep", seconds]);
  const script = `"$@"; trap '' HUP; kill -HUP 0; kill -TERM -$$`;
  await new Deno.Command("setsid", {
    args: ["-w", "sh", "-c", script, "sh", program, ...args],
    env: { SAUROPOD_HOME: world.home },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  assert.equal(processesWith(seconds).length, 1);
  await clear(world);
});

Deno.test("run -d: a container's end is kept: its code, its signal, and when", async () => {
  await using world = makeWorld();
  const before = new Date().toISOString();
  const [ended, running] = await Promise.all([finish(world, "exit 42"), runShell(world, "sleep 1000")]);
  const ids = [ended, running];
  const waiting = cli(world, "wait", ...ids);
  await cli(world, "kill", running);
  assert.equal(await waiting, "42\n137");
  const [first, second] = await Promise.all(ids.map((id) => inspect(world, id)));
  assert.equal(first?.ended?.code, 42);
  assert(stateOf(world, ended).startedAt > before);
  assert.deepEqual([second?.ended?.code, second?.ended?.signal], [137, 9]);
  assert.match(await cli(world, "ps", "-a"), /exited \(42\)/);
  await clear(world);
});

Deno.test("run -d: the log holds both streams byte for byte: lines, halves of lines, long lines, any bytes", async () => {
  await using world = makeWorld();
  const random = crypto.getRandomValues(new Uint8Array(60_000));
  Deno.mkdirSync(`${world.home}/in`);
  Deno.writeFileSync(`${world.home}/in/random`, random);
  const volume = ["-v", `${world.home}/in:/in:ro`];
  const [mixed, long, binary] = await Promise.all([
    finish(
      world,
      `for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf half; sleep 0.1; printf ' line\\nopen'`,
    ),
    finish(world, `dd if=/dev/zero bs=1M count=1 2>/dev/null | tr '\\0' x; echo; echo after`),
    finish(world, "cat /in/random; cat /in/random >&2", ...volume),
  ]);
  assert.equal(text(logged(world, mixed, "stdout")), "out 1\nout 2\nout 3\nhalf line\nopen");
  assert.equal(text(logged(world, mixed, "stderr")), "err 1\nerr 2\nerr 3\n");
  assert.equal(text(logged(world, long, "stdout")), "x".repeat(1 << 20) + "\nafter\n");
  for (const stream of ["stdout", "stderr"] as const) {
    assert.deepEqual(new Uint8Array(logged(world, binary, stream)), random);
  }
  await clear(world);
});

Deno.test("run -d: a container without a log writes none, and is not held up", async () => {
  await using world = makeWorld();
  const id = await finish(world, "dd if=/dev/zero bs=1M count=3", "--log-driver", "none");
  assert.equal(stateOf(world, id).code, 0);
  assert(!leftIn(world).includes(`${id}/log`));
  await clear(world);
});

Deno.test("run -d: a container that is started again has its files, its log goes on, and what it was asked stays", async () => {
  await using world = makeWorld();
  const script = "echo run $A >>/tmp/n; cat /tmp/n; id -u; hostname; pwd; [ -d /extra ]; exit $(wc -l </tmp/n)";
  const options = ["-e", "A=b", "-u", "1000", "-h", "box", "--tmpfs", "/extra", "-w", "/var"];
  const id = await finish(world, script, "--name", "again", ...options);
  assert.equal(await cli(world, "start", "again"), "again");
  assert.equal(await cli(world, "wait", "again"), "2");
  assert.equal(text(logged(world, id, "stdout")), "run b\n1000\nbox\n/var\nrun b\nrun b\n1000\nbox\n/var\n");
  await clear(world);
});

Deno.test("create makes what start starts, as often as one likes", async () => {
  await using world = makeWorld();
  const id = await cli(world, "create", ...NONE, "--name", "made", "busybox", "sh", "-c", "echo x >>/n; wc -l </n");
  assert.deepEqual(monitorsOf(world), []);
  assert.equal((await inspect(world, "made")).status, "created");
  for (const times of [1, 2]) {
    await cli(world, "start", "made");
    await cli(world, "wait", "made");
    assert.match(text(logged(world, id, "stdout")), new RegExp(`(^|\n)${times}\n$`));
  }
  await clear(world);
});

Deno.test("with --rm all is gone after the end, also deep and large trees; wait tells the code", async () => {
  await using world = makeWorld();
  await cli(world, "run", "--rm", ...NONE, "busybox", "true");
  const before = lookApart();
  const names = ["short", "deep", "many"];
  const scripts = [
    "exit 3",
    "deep() { mkdir $1; cd $1; i=0; while [ $i -lt 1500 ]; do mkdir d; cd d || exit 9; i=$((i+1)); done; pwd; }\n" +
    "first=$(deep /a); second=$(deep /b); mv /b $first || exit 9; exit 4",
    "mkdir /m; cd /m; i=0; while [ $i -lt 40 ]; do mkdir $i; (cd $i; seq 1 500 | xargs touch); i=$((i+1)); done; exit 5",
  ];
  const go = `${world.home}/go`, options = ["--rm", "-v", `${go}:/go`];
  Deno.mkdirSync(go);
  const ids = await Promise.all(
    scripts.map((script, i) => runShell(world, `${WAIT_FOR_GO}${script}`, ...options, "--name", names[i] ?? "")),
  );
  const waits = await Promise.all(names.map((name) => startWaiting(world, name)));
  Deno.writeTextFileSync(`${go}/now`, "");
  const codes = await Promise.all(waits.map(async (wait) => text((await wait.output()).stdout)));
  assert.deepEqual(codes, ["3\n", "4\n", "5\n"]);
  assert.equal(await cli(world, "gc"), "");
  assertNothingLeft(world);
  assert.equal((await world.cli(["inspect", ids[0] ?? ""])).code, 125);
  for (const id of ids) {
    const actions = eventsOf(world).filter((event) => event.id === id).map(({ action }) => action);
    assert.deepEqual(actions, ["create", "start", "die", "destroy"]);
  }
  assertApart(before);
});

Deno.test("a file that nobody may remove holds up neither the monitor nor any other command, and gc tells of it", async () => {
  await using world = makeWorld();
  const id = await runShell(world, "touch /mine /other; while [ ! -e /go ]; do sleep 0.05; done", "--rm");
  const mine = `${world.folders.containers}/${id}/upper/mine`;
  const attribute = async (flag: string): Promise<boolean> =>
    (await new Deno.Command("chattr", { args: [flag, mine], stderr: "null" }).output()).success;
  await until("written", () => leftIn(world).includes(`${id}/upper/other`));
  assert(await attribute("+i"), "this file system has no immutable files");
  try {
    await cli(world, "exec", id, "touch", "/go");
    await until("its monitor gone", () => monitorsOf(world).length === 0);
    assert.equal(await cli(world, "run", ...NONE, "--rm", "busybox", "echo", "ran"), "ran");
    assert.match(await cli(world, "ps", "-a"), /^ID.*$/);
    const { code, stderr } = await world.cli(["gc"]);
    assert.deepEqual([code, /cannot remove .*not permitted/.test(stderr)], [0, true], stderr);
    const other = await runShell(world, "exit 0");
    assert.equal(await cli(world, "rm", "-f", other), other);
  } finally {
    await attribute("-i");
  }
  assert.equal(await cli(world, "gc"), `removed ${id}`);
  assertNothingLeft(world);
});

Deno.test("--init reaps orphans and passes on how the command ended", async () => {
  await using world = makeWorld();
  const script = "(sleep 0.01 &); sleep 0.1; cat /proc/1/comm; ps | grep -c '[Zz]ombie'; exit 7";
  const id = await finish(world, script, "--init");
  assert.equal(stateOf(world, id).code, 7);
  assert.match(text(logged(world, id, "stdout")), /^\d*[^\n]+\n0\n$/);
  await clear(world);
});

Deno.test("-dt gives the container a terminal of its own, -di an input that stays open", async () => {
  await using world = makeWorld();
  const [terminal, input] = await Promise.all([
    finish(world, "tty; stty size; echo error >&2", "-t"),
    runShell(world, "read line; echo $?", "--interactive"),
  ]);
  assert.equal(text(logged(world, terminal, "stdout")), "/dev/pts/0\r\n24 80\r\nerror\r\n");
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(stateOf(world, input).status, "running", "it waits for a line");
  assert.equal(stateOf(world, await finish(world, "read line")).code, 1, "without --interactive there is none");
  await clear(world);
});

Deno.test("run -d: a container that the kernel has killed for lack of memory says so", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const id = await finish(world, "tail /dev/zero", "-m", "16m");
  const { ended } = await inspect(world, id);
  assert.equal(ended?.oomKilled, true);
  assert.match(await cli(world, "ps", "-a"), /out of memory/);
  assert(eventsOf(world).some(({ action }) => action === "oom"));
  await clear(world);
  assertApart(before);
});

Deno.test("run -d: control groups that a privileged container made below its own go with it", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const make =
    "for g in /sys/fs/cgroup/pids /sys/fs/cgroup; do mkdir -p $g/a/b && [ -e $g/a/b/pids.max ] && exit 0; done; exit 1";
  const id = await finish(world, make, "--privileged", "--pids-limit", "50");
  assert.equal(stateOf(world, id).code, 0, "it could make them");
  assert.deepEqual(groupsOf([id]), []);
  assertApart(before);
  await clear(world);
});

Deno.test("run -d: a detached container's processes are nobody's zombies", async () => {
  await using world = makeWorld();
  await finish(world, "exit 0");
  await runShell(world, "sleep 1000", "--health-cmd", "true", "--health-interval", "50ms");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const [monitor = 0] = monitorsOf(world);
  const children = pids().filter((pid) => {
    try {
      return Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]?.split(" ")[1] === String(monitor);
    } catch {
      return false;
    }
  });
  const zombies = children.filter((pid) => wordsOf(pid).length === 0);
  assert(children.length > 0);
  assert(zombies.length <= 1, `${zombies}`);
  await clear(world);
});

Deno.test("stop asks first and kills later; a signal can be chosen", async () => {
  await using world = makeWorld();
  const script = (signal: string): string =>
    `trap 'echo got ${signal}; exit 9' ${signal}; trap : ${signal === "TERM" ? "USR1" : "TERM"}; echo ready; ` +
    "while :; do sleep 0.02; done";
  const box = (...words: string[]): Promise<string> =>
    cli(world, "run", "-d", ...NONE, "busybox", "sh", "-c", ...words);
  const [polite, other, deaf] = await Promise.all([box(script("TERM")), box(script("USR1")), box(script("USR1"))]);
  const ready = (id: string): boolean => text(logged(world, id, "stdout")).startsWith("ready");
  await until("ready", () => [polite, other, deaf].every(ready));
  await Promise.all([
    cli(world, "stop", polite),
    cli(world, "stop", "-s", "SIGUSR1", other),
    cli(world, "stop", "-t", "1", deaf),
  ]);
  assert.deepEqual([polite, other, deaf].map((id) => stateOf(world, id).code), [9, 9, 137]);
  assert.match(text(logged(world, polite, "stdout")), /got TERM\n$/);
  await clear(world);
});

Deno.test("run -d: a script that uses the library leaves containers behind that live on", async () => {
  await using world = makeWorld();
  const script = `import { runDetached } from "${PROJECT}/mod.ts";
    console.log(await runDetached("busybox", ["sh", "-c", "sleep 0.5; exit 11"], { network: "none", keep: true }));`;
  Deno.writeTextFileSync(`${world.home}/script.ts`, script);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${world.home}/script.ts`],
    env: { SAUROPOD_HOME: world.home },
    stderr: "inherit",
  }).output();
  const id = text(stdout).trim();
  assert.equal(await wait(id, world.folders), 11);
  await start(id, world.folders);
  assert.equal(await wait(id, world.folders), 11);
  const own = await runDetached("busybox", ["sh", "-c", "exit 12"], { ...world.folders, network: "none", keep: true });
  assert.equal(await wait(own, world.folders), 12);
  await clear(world);
});
