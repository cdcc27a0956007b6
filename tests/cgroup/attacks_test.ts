import assert from "node:assert/strict";
import { type ContainerOptions, output, run } from "../../mod.ts";
import { readOwnership } from "../../lib/container/state/ownership.ts";
import { groupOf, groupsOf, has, host } from "../helpers/groups.ts";
import { until } from "../helpers/inside.ts";
import { assertUnchanged, lookAtMachine } from "../helpers/leftovers.ts";
import { makeWorld, type World } from "../helpers/world.ts";

// What a container can do to control groups through a user namespace and a cgroup namespace that it makes. The same tests
// run on hosts of cgroup v1, hybrid ones and, by v2_test.ts, on a pure v2 one.

const MiB = 1024 * 1024;
const WRITABLE = host.hierarchies.filter(({ readOnly }) => !readOnly);

// One process that never executes anything: without CAP_SETFCAP nobody can be root in a user namespace, but who makes one
// has all its capabilities until then.
const ATTACK = `
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0: sys.exit(name + ": " + os.strerror(ctypes.get_errno()))
def write(file, text):
    try: open(file, "w").write(text)
    except OSError: return
    print("wrote", file, flush=True)
call("unshare", 0x10000000 | 0x00020000 | 0x02000000)  # NEWUSER, NEWNS, NEWCGROUP
call("mount", b"none", b"/", None, 0x4000 | 0x80000, None)  # REC, SLAVE
def mounted(kind, options, work):
    call("mount", b"none", b"/mnt", kind.encode(), 0, options.encode())
    print("mounted", kind, options, flush=True)
    work()
    call("umount2", b"/mnt", 2)
`;
import { skipHere } from "../helpers/skip.ts";

type Named = { readonly version: 1 | 2; readonly name: string };

/** What says that a hierarchy has been mounted. */
function kindOf({ version, name }: Named): string {
  if (version === 2) return "cgroup2 ";
  return `cgroup ${name.startsWith("name=") ? "none," : ""}${name}`;
}

/** A process with all capabilities in namespaces of its own, which does `work` in Python in each hierarchy mounted on /mnt. */
function attack(hierarchies: readonly Named[], work: string): string[] {
  const lines = hierarchies.map((hierarchy) => {
    const [kind = "", options = ""] = kindOf(hierarchy).split(" ");
    return `mounted("${kind}", "${options}", work)`;
  });
  return [
    "python3",
    "-c",
    [ATTACK, "def work():", ...work.trim().split("\n").map((line) => `    ${line}`), ...lines].join("\n"),
  ];
}

async function say(world: World, command: readonly string[], options: ContainerOptions = {}): Promise<string> {
  const result = await output("host", command, { ...world.folders, network: "none", ...options });
  return new TextDecoder().decode(result.stdout) + new TextDecoder().decode(result.stderr);
}

for (const capDrop of [[], ["ALL"]]) {
  const words = capDrop.map((name) => `--cap-drop ${name} `).join("");
  Deno.test(`a container run ${words}cannot reach a group of the host in any hierarchy`, async () => {
    await using world = makeWorld();
    const before = lookAtMachine(), victim = `victim-${Deno.pid}`;
    const command = attack(
      WRITABLE,
      `if os.path.exists("/mnt/${victim}"): print("reached it")
for file in "freezer.state", "cgroup.freeze": write("/mnt/${victim}/" + file, "1" if "cgroup" in file else "FROZEN")`,
    );
    const victims = WRITABLE.map(({ mount }) => `${mount}/${victim}`);
    victims.forEach((path) => Deno.mkdirSync(path));
    try {
      const said = await say(world, command, { capDrop });
      assert.deepEqual(said.trimEnd().split("\n"), WRITABLE.map((one) => `mounted ${kindOf(one)}`.trimEnd()));
    } finally {
      victims.forEach((path) => Deno.removeSync(path));
    }
    assertUnchanged(before);
  });
}

Deno.test("run --pids-limit and --memory: the groups that a container makes in any hierarchy go with it", async () => {
  await using world = makeWorld();
  const before = lookAtMachine(), name = `made-by-${Deno.pid}`;
  const said = await say(world, attack(WRITABLE, `os.makedirs("/mnt/${name}/deep"); print("made")`));
  assert.equal(said.match(/^made$/gm)?.length, WRITABLE.length, said);
  for (const { mount } of WRITABLE) assert.throws(() => Deno.statSync(`${mount}/${name}`), Deno.errors.NotFound);
  assertUnchanged(before);
});

Deno.test({
  name:
    "a container run --pids-limit 20 cannot start more processes, whatever it writes to the groups that it can mount",
  ignore: skipHere("there is no controller pids", !has("pids")),
  fn: async () => {
    await using world = makeWorld();
    const command = attack(
      [host.controllers.get("pids") ?? assert.fail()],
      `write("/mnt/pids.max", "max")
for i in range(40):
    try: subprocess.Popen(["sleep", "30"])
    except OSError: sys.exit("stopped at %d" % i)`,
    );
    const said = await say(world, command, { limits: { pids: 20 } });
    assert.match(said, /^wrote \/mnt\/pids\.max$/m, "it writes to its own group");
    assert.match(said, /^stopped at 19$/m);
  },
});

Deno.test({
  name: "a container run --memory 64m is killed at its limit, whatever it writes to the groups that it can mount",
  ignore: skipHere("there is no controller memory", !has("memory")),
  fn: async () => {
    await using world = makeWorld();
    const files = ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes", "memory.swap.max", "memory.max"];
    const command = attack(
      [host.controllers.get("memory") ?? assert.fail()],
      `for file in ${JSON.stringify(files)}: write("/mnt/" + file, "${1024 * MiB}")
data = bytearray(os.urandom(1)) * ${200 * MiB}`,
    );
    const options = { ...world.folders, network: "none", limits: { memory: 64 * MiB, memorySwap: 64 * MiB } };
    const { code, oomKilled, stdout } = await output("host", command, options);
    assert.deepEqual({ code, oomKilled }, { code: 137, oomKilled: true });
    assert.match(new TextDecoder().decode(stdout), /^wrote \/mnt\/memory\./m, "it writes to its own group");
  },
});

Deno.test({
  name: "a container has 4096 processes at most unless --pids-limit says otherwise, 0 and -1 being no limit",
  ignore: skipHere("there is no controller pids", !has("pids")),
  fn: async () => {
    await using world = makeWorld();
    for (const [pids, expected] of [[undefined, "4096"], [77, "77"], [0, "max"], [-1, "max"]] as const) {
      await using box = await run("busybox", ["sleep", "100"], { ...world.folders, network: "none", limits: { pids } });
      const leaf = groupOf(box.pid, "pids"), above = leaf.slice(0, leaf.lastIndexOf("/"));
      for (const group of [leaf, above]) assert.equal(Deno.readTextFileSync(`${group}/pids.max`).trim(), expected);
    }
  },
});

Deno.test("every process of a container is in its own group of each hierarchy: run, exec, and detached", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  const own = (id: string, pid: number): void => {
    const lines = Deno.readTextFileSync(`/proc/${pid}/cgroup`).trim().split("\n");
    const known = lines.filter((line) => WRITABLE.some(({ name }) => [name, ""].includes(line.split(":")[1] ?? "")));
    for (const line of known) assert.match(line, new RegExp(`/sauropod-${id}(/inner)?$`));
    assert.equal(groupsOf(id).length, WRITABLE.length);
  };
  {
    await using box = await run("busybox", ["sleep", "100"], { ...world.folders, network: "none" });
    own(box.id, box.pid);
    await using more = await box.exec(["sleep", "100"]);
    own(box.id, more.pid);
  }
  const words = ["run", "-d", "--network", "none", "--restart", "always", "busybox", "sleep", "0.3"];
  const id = (await world.cli(words)).stdout.trim();
  const process = (): number | undefined => readOwnership(world.folders.containers, id)?.process?.pid;
  const first = process();
  await until("it was started again", () => ![undefined, first].includes(process()));
  assert.equal(groupsOf(id).length, WRITABLE.length);
  await world.cli(["rm", "-f", id]);
  assert.deepEqual(groupsOf(id), []);
  assertUnchanged(before);
});

Deno.test("run --pids-limit and --memory: the groups of a container go when its command line is killed, with the next command", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  const child = world.start(["run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo ready; sleep 100"]);
  const reader = child.stdout.getReader();
  await reader.read();
  const [id = ""] = [...Deno.readDirSync(world.folders.containers)].map(({ name }) => name).filter((name) =>
    /^[0-9a-f]{12}$/.test(name)
  );
  assert.equal(groupsOf(id).length, WRITABLE.length);
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  await child.stderr.cancel();
  await world.cli(["gc"]);
  assert.deepEqual(groupsOf(id), []);
  assertUnchanged(before);
});
