import assert from "node:assert/strict";
import { output, run, type RunOptions } from "../../../mod.ts";
import { encodeIdentity, identifyProcess, ownOrigin } from "../../../lib/host/process_identity.ts";
import { randomFrom } from "../../helpers/random.ts";
import { startQuietly } from "../../helpers/kill.ts";
import { marker, processesWith, until } from "../../helpers/life.ts";
import { assertUnchanged, lookAtMachine } from "../../helpers/leftovers.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const MiB = 1024 * 1024;
const HOUSEKEEPING = [".events", ".live", ".lock", ".names", ".names/.lock"];

/** Every file below a folder. */
function files(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? [path, ...files(path)] : [path];
  }).sort();
}

/** What is in the folder of containers, without the locks and folders that are always there. */
function containersOf(world: World): string[] {
  const { containers } = world.folders;
  return files(containers).map((path) => path.slice(containers.length + 1))
    .filter((path) => !HOUSEKEEPING.includes(path));
}

/** The command line, which is killed at the end of the scope. */
function start(world: World, words: readonly string[]): Deno.ChildProcess & Disposable {
  const child = startQuietly(world, words);
  let ended = false;
  child.status.then(() => ended = true);
  return Object.assign(child, {
    [Symbol.dispose]: () => {
      if (!ended) child.kill("SIGKILL");
    },
  });
}

/** Waits until the container `name` runs; its id. */
async function running(world: World, name: string): Promise<string> {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    const { code, stdout } = await world.cli(["inspect", name]);
    if (code !== 0) continue;
    const [found]: { id: string; status: string }[] = JSON.parse(stdout);
    if (found?.status === "running") return found.id;
  }
  return assert.fail(`${name} does not run`);
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** One of several kinds of container, by its number. */
function kind(i: number, world: World): RunOptions {
  const kinds: RunOptions[] = [
    {},
    { init: true },
    { name: `name-${i}` },
    { tmpfs: ["/scratch"], volumes: [`${world.home}/images:/images:ro`] },
    { readOnly: true, user: "alice" },
    { network: "host" },
    i % 5 === 0 ? { limits: { memory: 64 * MiB, pids: 30 } } : {},
    { terminal: true, stdin: "piped" },
  ];
  return { ...world.folders, ...kinds[i % kinds.length] };
}

Deno.test("gc: 200 runs in a row leave the machine as it was", async () => {
  await using world = makeWorld();
  // The first makes what stays: the lock, the folder of names, the event source of this process.
  await output("busybox", ["sleep", "0.1"], { ...world.folders, name: "first" });
  const before = { machine: lookAtMachine(), files: files(world.home), open: openFiles() };
  for (let i = 0; i < 184; i++) {
    const { code, stdout } = await output("busybox", ["sh", "-c", `echo ${i}; exit ${i % 100}`], kind(i, world));
    assert.deepEqual([code, new TextDecoder().decode(stdout).trim()], [i % 100, String(i)]);
  }
  await until("all descriptors closed", () => openFiles() <= before.open);
  for (let i = 0; i < 16; i++) {
    const options = [[], ["--init"], ["--name", "again"], ["--memory", "64m"]][i % 4] ?? [];
    const { code, stdout, stderr } = await world.cli(["--rm", ...options, "busybox", "echo", String(i)]);
    assert.deepEqual([code, stdout, stderr], [0, `${i}\n`, ""]);
  }
  assertUnchanged(before.machine);
  assert.deepEqual(files(world.home), before.files);
});

Deno.test("gc: 20 runs at once leave the machine as it was", async () => {
  await using world = makeWorld();
  await output("busybox", ["sleep", "0.1"], { ...world.folders, name: "first" });
  const before = { machine: lookAtMachine(), files: files(world.home), open: openFiles() };
  const script = (i: number): string[] => ["sh", "-c", `echo ${i} > /own; sleep 0.1; cat /own`];
  const library = Array.from({ length: 20 }, async (_, i) => {
    const { stdout } = await output("busybox", script(i), { ...kind(i, world), readOnly: false, user: "root" });
    assert.equal(new TextDecoder().decode(stdout).trim(), String(i));
  });
  const commands = Array.from({ length: 20 }, async (_, i) => {
    const { code, stdout, stderr } = await world.cli(["--rm", "--pids-limit", "20", "busybox", ...script(i)]);
    assert.deepEqual([code, stdout, stderr], [0, `${i}\n`, ""]);
  });
  await Promise.all([...library, ...commands]);
  await until("all descriptors closed", () => openFiles() <= before.open);
  assertUnchanged(before.machine);
  assert.deepEqual(files(world.home), before.files);
});

Deno.test("gc: containers that are kept leave a folder each and nothing else", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  for (const words of [[], ["--init"], ["--memory", "64m"]]) {
    assert.equal((await world.cli([...words, "busybox", "touch", "/own"])).code, 0);
  }
  assertUnchanged(before);
  const kept = (await world.cli(["ps", "-aq"])).stdout.trim().split("\n");
  assert.equal(kept.length, 3);
  for (const id of kept) assert(Deno.statSync(`${world.folders.containers}/${id}/upper/own`).isFile);
  assert.equal((await world.cli(["rm", "--all"])).code, 0);
  assert.deepEqual(containersOf(world), []);
});

Deno.test("kill -9 of the caller ends every process of the container at once", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  for (const [i, words] of [[], ["--init"], ["--memory", "64m", "--user", "alice"]].entries()) {
    const seconds = marker();
    const command = ["sh", "-c", `trap '' TERM HUP; sleep ${seconds} & (setsid sleep ${seconds} &) ; sleep ${seconds}`];
    using caller = start(world, ["--rm", "--name", `box-${i}`, ...words, "busybox", ...command]);
    await until("three sleeping", () => processesWith(seconds).length === 3);
    caller.kill("SIGKILL");
    await caller.status;
    await until("all gone", () => processesWith(seconds).length === 0);
  }
  assert.equal((await world.cli(["gc"])).code, 0);
  assert.deepEqual(containersOf(world), []);
  assertUnchanged(before);
});

const KILLS = 50, SEED = 20_261_123;

Deno.test("kill -9 of the caller at random moments, 50 times, and one gc leave the machine as it was", async () => {
  await using world = makeWorld();
  const random = randomFrom(SEED);
  const begin = performance.now();
  await world.cli(["--rm", "--name", "first", "busybox", "true"]);
  const usual = performance.now() - begin;
  const before = lookAtMachine();
  const seconds = marker();
  let early = 0, late = 0;
  for (let i = 0; i < KILLS; i++) {
    const words = [
      ...(i % 2 ? ["--name", `name-${i}`] : []),
      ...(i % 3 ? [] : ["--memory", "64m", "--pids-limit", "50"]),
      ...(i % 5 ? [] : ["--init"]),
      ...(i % 7 ? [] : ["--tmpfs", "/scratch"]),
    ];
    using caller = start(world, ["--rm", ...words, "busybox", "sleep", seconds]);
    await new Promise((resolve) => setTimeout(resolve, usual * (0.3 + random())));
    if (processesWith(seconds).length > 1) late++;
    else early++;
    caller.kill("SIGKILL");
    await caller.status;
    await until(`gone, kill ${i}`, () => processesWith(seconds).length === 0);
  }
  // Both halves of a life must have been met, or the moments prove nothing.
  assert(early >= 3 && late >= 3, `${early} kills before and ${late} after the container's start`);
  assert.equal((await world.cli(["gc"])).code, 0);
  assert.deepEqual(containersOf(world), []);
  assertUnchanged(before);
  for (const name of ["name-1", "name-49"]) {
    assert.equal((await world.cli(["--rm", "--name", name, "busybox", "true"])).code, 0, `${name} is free`);
  }
});

Deno.test("gc: a container whose caller was killed is kept if it was to be, and found lost", async () => {
  await using world = makeWorld();
  using caller = start(world, ["--name", "kept", "busybox", "sh", "-c", `echo mine > /own; sleep ${marker()}`]);
  const id = await running(world, "kept");
  const own = `${world.folders.containers}/${id}/upper/own`;
  await until("written", () => files(world.folders.containers).includes(own));
  caller.kill("SIGKILL");
  await caller.status;
  assert.equal((await world.cli(["gc"])).stdout, `marked as ended ${id}\n`);
  assert.match((await world.cli(["ps", "-a"])).stdout, /lost .*kept/);
  assert(Deno.statSync(own).isFile);
  assert.equal((await world.cli(["rm", "kept"])).code, 0);
  assert.deepEqual(containersOf(world), []);
});

Deno.test("runs, removals and gc at the same time do not disturb each other", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  let busy = true;
  const gcs = Array.from({ length: 2 }, async () => {
    let count = 0;
    for (; busy; count++) {
      const { code, stderr } = await world.cli(["gc"]);
      assert.deepEqual([code, stderr], [0, ""]);
    }
    return count;
  });
  const library = (async () => {
    for (let i = 0; i < 60; i++) {
      const { stdout } = await output("busybox", ["echo", String(i)], kind(i, world));
      assert.equal(new TextDecoder().decode(stdout).trim(), String(i));
    }
  })();
  const commands = Array.from({ length: 2 }, async (_, who) => {
    for (let i = 0; i < 6; i++) {
      const words = ["--name", `who-${who}`, ...(i % 2 ? ["--memory", "64m"] : [])];
      const { code, stdout, stderr } = await world.cli([...words, "busybox", "echo", "ran"]);
      assert.deepEqual([code, stdout, stderr], [0, "ran\n", ""]);
      const removed = await world.cli(["rm", `who-${who}`]);
      assert.deepEqual(removed, { code: 0, stdout: `who-${who}\n`, stderr: "" });
    }
  });
  await Promise.all([library, ...commands]).finally(() => busy = false);
  for (const count of await Promise.all(gcs)) assert(count > 0);
  assert.deepEqual(containersOf(world), []);
  assertUnchanged(before);
});

Deno.test("gc: of many that want one name at once, one gets it", async () => {
  await using world = makeWorld();
  const results = await Promise.all(
    Array.from({ length: 6 }, () => world.cli(["--name", "wanted", "busybox", "true"])),
  );
  assert.deepEqual(results.map(({ code }) => code).sort(), [0, 125, 125, 125, 125, 125]);
  for (const { code, stderr } of results) {
    if (code) assert.match(stderr, /name wanted is already in use by container \w{12}/);
  }
  assert.equal((await world.cli(["ps", "-aq"])).stdout.trim().split("\n").length, 1);
});

Deno.test("rm refuses a container that runs; rm --force ends and removes it", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  for (const init of [[], ["--init"]]) {
    const seconds = marker();
    using caller = start(world, [...init, "--name", "busy", "--memory", "64m", "busybox", "sleep", seconds]);
    const id = await running(world, "busy");
    const refused = await world.cli(["rm", "busy"]);
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, new RegExp(`cannot remove container ${id}: it is running\n.*--force`));
    assert.equal((await world.cli(["rm", "--all"])).stdout, "", "--all takes only those that have ended");
    assert.notDeepEqual(processesWith(seconds), []);
    const forced = await world.cli(["rm", "--force", "busy"]);
    assert.deepEqual(forced, { code: 0, stdout: "busy\n", stderr: "" });
    assert.equal((await caller.status).code, 137);
    assert.deepEqual(processesWith(seconds), []);
    assert.deepEqual(containersOf(world), []);
  }
  assertUnchanged(before);
});

Deno.test("gc: a damaged record is reported and left alone, and disturbs no other container", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const damaged = {
    "0123456789ab": "",
    "123456789abc": "{ half",
    "23456789abcd": `{"version":1}`,
    "3456789abcde": "[]",
  };
  for (const [id, text] of Object.entries(damaged)) {
    Deno.mkdirSync(`${containers}/${id}/upper`, { recursive: true });
    Deno.writeTextFileSync(`${containers}/${id}/upper/precious`, "mine");
    Deno.writeTextFileSync(`${containers}/${id}/container.json`, text);
  }
  assert.deepEqual(await world.cli(["--name", "sound", "busybox", "echo", "ran"]), {
    code: 0,
    stdout: "ran\n",
    stderr: "",
  });
  assert.match((await world.cli(["ps", "-a"])).stdout, /^ID.*\n\w{12}.*sound\n(\w{12} .* damaged *\n){4}$/);
  const gc = await world.cli(["gc"]);
  assert.equal(gc.code, 0);
  for (const id of Object.keys(damaged)) {
    assert.match(gc.stderr, new RegExp(`container ${id} is damaged; kill and remove it`));
    assert.equal(Deno.readTextFileSync(`${containers}/${id}/upper/precious`), "mine");
  }
  const inspected = await world.cli(["inspect", "0123456789ab"]);
  assert.notEqual(inspected.code, 0);
  assert.match(inspected.stderr, /invalid record/);
  assert.deepEqual(await world.cli(["rm", "sound"]), { code: 0, stdout: "sound\n", stderr: "" });
});

Deno.test("gc: what is half made or half removed by a process that is gone is taken away, what a live one makes is not", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const self = identifyProcess(Deno.pid) ?? assert.fail();
  const boot = ownOrigin().split(".")[1] ?? "";
  const owners = {
    "000000000000": { boot, owner: self },
    "111111111111": { boot, owner: { ...self, startTime: self.startTime - 1 } },
    "222222222222": { boot: "00000000", owner: self },
    "333333333333": { boot, owner: { pid: 4_194_304, startTime: 5 } },
  };
  Deno.mkdirSync(`${containers}/.live`);
  for (const [id, { boot, owner }] of Object.entries(owners)) {
    Deno.mkdirSync(`${containers}/${id}/upper/deep`, { recursive: true });
    Deno.symlinkSync(encodeIdentity(owner).replace(/(?<=^\w+\.)\w+/, boot), `${containers}/.live/${id}`);
  }
  assert.equal((await world.cli(["gc"])).code, 0);
  const left = containersOf(world).filter((path) => !path.includes("/upper"));
  assert.deepEqual(left, [".live/000000000000", "000000000000"]);
});

Deno.test("gc: a full disk is a clear error and leaves nothing", async () => {
  await using world = makeWorld();
  // In a mount namespace of its own: a disk that is full in bytes, then ones with room for only so many files.
  const script = `
    disk() { mount -t tmpfs -o "mode=700,$1" none "$containers" && shift && "$@"; }
    look() { rm -f "$containers/fill"; (cd "$containers" && find . -mindepth 1 | cut -c3-); umount "$containers"; }
    try() { "$@" 2>&1; echo "code $?"; }
    disk size=64k dd if=/dev/zero of="$containers/fill" bs=4k 2>/dev/null; try "$@"; look
    for n in 1 2 3 4 5 6; do disk nr_inodes=$n try "$@"; look; done`;
  const before = lookAtMachine();
  const { stdout } = await new Deno.Command("unshare", {
    args: ["--mount", "--propagation", "private", "sh", "-c", script, "sh"].concat(
      commandLine(["--rm", "--memory", "64m", "busybox", "true"]),
    ),
    env: { SAUROPOD_HOME: world.home, containers: world.folders.containers },
    cwd: world.home,
    stdin: "null",
  }).output();
  const attempts = new TextDecoder().decode(stdout).split(/(?<=code \d+\n)/);
  assert.equal(attempts.filter((text) => text.includes("code ")).length, 7);
  const left = attempts.slice(1).flatMap((text) => text.replace(/sauropod:[^]*|code \d+/, "").trim().split("\n"));
  for (const text of attempts.slice(0, 4)) {
    assert.match(text, /^sauropod: .*(ENOSPC|No space left on device)/m);
    assert.match(text, /code 125\n$/);
  }
  assert.deepEqual(left.filter((path) => path !== "" && !HOUSEKEEPING.includes(path)), []);
  assertUnchanged(before);
});

Deno.test("who fills the disk still ends with its own exit code, and is told of as lost when there is room again", async () => {
  await using world = makeWorld();
  const script = `
    mount -t tmpfs -o mode=700,size=1m none "$containers"
    "$@"; echo "code $?"
    dd if=/dev/null of="$(echo "$containers"/*/upper/fill)" 2>/dev/null
    ${commandLine(["ps", "-a", "--format", "{{.Status}}"]).join(" ")}; ${commandLine(["rm", "--all"]).join(" ")}
    ls "$containers"; umount "$containers"`;
  const before = lookAtMachine();
  const words = ["--network", "none", "busybox", "sh", "-c", "dd if=/dev/zero of=/fill 2>/dev/null; exit 3"];
  const { stdout, stderr } = await new Deno.Command("unshare", {
    args: ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...commandLine(words)],
    env: { SAUROPOD_HOME: world.home, containers: world.folders.containers },
    cwd: world.home,
    stdin: "null",
  }).output();
  assert.match(new TextDecoder().decode(stdout), /^code 3\nlost .*\n[0-9a-f]{12}\n$/);
  assert.equal(new TextDecoder().decode(stderr), "");
  assertUnchanged(before);
});

const HALFWAY = [
  ["a control group's parent that is missing", ["--cgroup-parent", "/no/such/group"], ["true"], 125, /control group/],
  ["a working directory that is a file", ["-w", "/etc/passwd"], ["true"], 125, /change to \/etc\/passwd: ENOTDIR/],
  ["a volume below a file", ["-v", "/etc:/etc/passwd/x"], ["true"], 125, /\/etc\/passdw|\/etc\/passwd.*ENOTDIR/],
  ["a hard limit that cannot be", ["--ulimit", "nofile=5000000000:5000000000"], ["true"], 125, /limit nofile/],
  ["tmpfs options that the kernel refuses", ["--tmpfs", "/x:uid=99999999999"], ["true"], 125, /mount tmpfs on \/x/],
  ["a command that is missing", [], ["no-such-command"], 127, /not found/],
  ["a path that is missing", [], ["/no/such/command"], 127, /ENOENT/],
  ["a file that is no program", [], ["/etc/passwd"], 126, /EACCES/],
] as const;

Deno.test("a launch that fails half-way says at which step and leaves nothing", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  for (const init of [[], ["--init"]]) {
    for (const [what, options, command, expected, reason] of HALFWAY) {
      const words = [...init, "--memory", "64m", "--name", "half", ...options, "busybox", ...command];
      const { code, stdout, stderr } = await world.cli(words);
      assert.deepEqual([code, stdout], [expected, ""], `${what}: ${stderr}`);
      assert.match(stderr, reason, what);
      assert.deepEqual(containersOf(world), [], what);
    }
  }
  assertUnchanged(before);
});

Deno.test("gc: a launch that fails in the library leaves no descriptor and no process behind", async () => {
  await using world = makeWorld();
  await output("busybox", ["sleep", "0.1"], world.folders);
  const before = { machine: lookAtMachine(), open: openFiles() };
  for (const init of [false, true]) {
    for (const terminal of [false, true]) {
      const options = { ...world.folders, init, terminal, stdin: "piped", stdout: "piped", stderr: "piped" } as const;
      await assert.rejects(run("busybox", ["no-such-command"], options), { code: "command-not-found" });
      await assert.rejects(run("busybox", ["true"], { ...options, tmpfs: ["/x:uid=99999999999"] }), {
        code: "step-failed",
      });
    }
  }
  await until("all descriptors closed", () => openFiles() <= before.open);
  assertUnchanged(before.machine);
  assert.deepEqual(containersOf(world), []);
});

Deno.test("gc removes what was unpacked from an archive that has changed, but not while a container uses it", async () => {
  await using world = makeWorld({ ownImage: true });
  const archive = `${world.folders.images}/box.tar`;
  const unpacked = (): number => [...Deno.readDirSync(`${world.folders.images}/.unpacked`)].length;
  const pack = async (file: string): Promise<void> => {
    Deno.writeTextFileSync(`${world.image}/${file}`, file);
    const args = ["-C", world.image, "-cf", archive, "."];
    assert.ok((await new Deno.Command("tar", { args }).output()).success);
  };
  await pack("first");
  assert.equal((await world.cli(["--name", "user", "box", "true"])).code, 0);
  await pack("second");
  assert.equal((await world.cli(["--rm", "box", "cat", "/second"])).stdout, "second");
  assert.equal(unpacked(), 2);
  assert.equal((await world.cli(["gc"])).code, 0);
  assert.equal(unpacked(), 2, "a container uses the first");
  assert.equal((await world.cli(["rm", "user"])).code, 0);
  assert.match((await world.cli(["gc"])).stdout, /^removed .*\/\.unpacked\/box@/);
  assert.equal(unpacked(), 1);
});
