import assert from "node:assert/strict";
import { converse, host, inside, parseMounts, say } from "../../helpers/inside.ts";
import { assertUnchanged, lookAtMachine } from "../../helpers/leftovers.ts";
import { hasAlpine } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";
import { skipHere } from "../../helpers/skip.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const OWN = ["mnt", "uts", "pid", "ipc", "net", "cgroup"] as const;

async function namespaces(network: "none" | "host"): Promise<string[]> {
  const script = `cd /proc/self/ns; for name in ${OWN.join(" ")}; do readlink $name; done`;
  return (await say(world, script, { network })).trim().split("\n");
}

/** Links without those of other tests' containers, which the kernel removes some time after their end. */
function lastingLinks(links: readonly string[]): string[] {
  return links.filter((name) => !name.startsWith("veth")).sort();
}

Deno.test("run: a container has six namespaces of its own, by inode", async () => {
  const script = `cd /proc/self/ns; for n in ${OWN.join(" ")}; do readlink $n; done | tr '\\n' ' '; echo; read`;
  await using one = await converse(world, script);
  await using other = await converse(world, script);
  const [first = "", second = ""] = [await one.ask(), await other.ask()];
  const ours = OWN.map((name) => Deno.readLinkSync(`/proc/self/ns/${name}`));
  const seen = [ours, first.trim().split(" "), second.trim().split(" ")];
  for (const [i, name] of OWN.entries()) {
    const inodes = seen.map((list) => list[i]);
    for (const inode of inodes) assert.match(inode ?? "", new RegExp(`^${name}:\\[\\d+\\]$`));
    assert.equal(new Set(inodes).size, 3, `${name} is shared: ${inodes}`);
  }
});

Deno.test("run: network host shares the network namespace and no other", async () => {
  const inodes = await namespaces("host");
  const shared = OWN.filter((name, i) => inodes[i] === Deno.readLinkSync(`/proc/self/ns/${name}`));
  assert.deepEqual(shared, ["net"]);
});

Deno.test("run: what is mounted on one side is not seen on the other, not even below a shared volume", async () => {
  const shared = `${world.home}/shared`;
  Deno.mkdirSync(`${shared}/from-host`, { recursive: true });
  Deno.mkdirSync(`${shared}/from-container`);
  await host("mount", "--bind", shared, shared);
  try {
    await host("mount", "--make-shared", shared);
    const before = lookAtMachine();
    const script = `
      mkdir /own && mount -t tmpfs own /own && echo secret > /own/file &&
      mount -t tmpfs own /volume/from-container && echo secret > /volume/from-container/file && echo mounted
      read line; ls /volume/from-host | wc -l; read line`;
    const options = { capAdd: ["SYS_ADMIN"], volumes: [`${shared}:/volume`], network: "none" };
    await using box = await converse(world, script, options);
    assert.equal(await box.ask(), "mounted");

    assertUnchanged({ ...before, processes: lookAtMachine().processes, groups: lookAtMachine().groups });
    assert.deepEqual([...Deno.readDirSync(`${shared}/from-container`)], []);

    await host("mount", "-t", "tmpfs", "late", `${shared}/from-host`);
    Deno.writeTextFileSync(`${shared}/from-host/file`, "");
    assert.equal(await box.ask("look"), "0");
    await host("umount", `${shared}/from-host`);
  } finally {
    await host("umount", "--recursive", shared);
  }
});

Deno.test("run: none of the host's mounts is left in a container: the old root cannot be reached", async () => {
  for (const image of ["busybox", "host"]) {
    const mounts = parseMounts(await say(world, "cat /proc/self/mountinfo", { image }));
    const below = /^\/(dev|proc|sys)(\/|$)|^\/etc\/(hosts|hostname|resolv\.conf)$/;
    assert.deepEqual(mounts.filter(({ target }) => !below.test(target)).map(({ target, type }) => [target, type]), [[
      "/",
      "overlay",
    ]]);
    const types = new Set(["overlay", "tmpfs", "devpts", "mqueue", "proc", "sysfs"]);
    assert.deepEqual(mounts.filter(({ type }) => !types.has(type)), []);
    assert.deepEqual(mounts.filter(({ propagation }) => propagation.length > 0), []);
    assert.deepEqual(mounts.filter(({ target }) => target.includes("deleted") || target.includes("unreachable")), []);
  }
});

Deno.test("run: nothing above the root of a container leads out of it", async () => {
  Deno.writeTextFileSync(`${world.home}/marker`, "");
  const ways = ["/..", "/../../..", "/proc/1/root", "/proc/1/root/..", "/proc/self/cwd/..", "/dev/fd/../../.."];
  const look = (way: string): string => `ls ${way}${world.home}/marker ${way}/bin/busybox 2>/dev/null;`;
  const found = await say(world, ways.map(look).join("") + "true");
  assert.deepEqual(found.trim().split("\n"), ways.map((way) => `${way}/bin/busybox`));
});

Deno.test("the command is PID 1 and sees no process but its own", async () => {
  assert.equal(await say(world, ["/bin/ps", "-o", "pid,args"]), "PID   COMMAND\n    1 /bin/ps -o pid,args\n");
  const numbers = await say(world, "ls /proc | grep -c '^[0-9]'; readlink /proc/self");
  assert.match(numbers, /^[123]\n\d\n$/);
});

Deno.test("ps shows a command with children as PID 1, and them below it", async () => {
  const script = "sleep 100 & until grep -q sleep /proc/2/comm; do :; done; ps -o pid,ppid,comm; true";
  const { code, stdout } = await world.cli(["--rm", "busybox", "/bin/sh", "-c", script]);
  const rows = stdout.trim().split("\n").slice(1).map((row) => row.trim().split(/\s+/));
  assert.deepEqual([code, rows.slice(0, 2)], [0, [["1", "0", "sh"], ["2", "1", "sleep"]]]);
  assert.deepEqual(rows.slice(2).map(([, parent, name]) => [parent, name]), [["1", "ps"]]);
});

Deno.test("run: System V message queues and shared memory of the host are not seen", async () => {
  const made = (await host("ipcmk", "--queue")).trim().replace(/^.*: /, "");
  try {
    assert.equal((await say(world, "wc -l < /proc/sysvipc/msg")).trim(), "1");
  } finally {
    await host("ipcrm", "--queue-id", made);
  }
});

Deno.test("run: the host name is the container's id", async () => {
  await using box = await converse(world, "echo $(hostname) $HOSTNAME $(cat /proc/sys/kernel/hostname); read");
  const { id } = box.container;
  assert.equal(await box.ask(), `${id} ${id} ${id}`);
});

Deno.test("--hostname names the container, and a change inside does not reach the host", async () => {
  const before = Deno.hostname();
  const script = "hostname; echo $HOSTNAME; hostname changed; hostname";
  const { code, stdout } = await world.cli([
    "--rm",
    "--hostname",
    "web-1.example.org",
    "--cap-add",
    "SYS_ADMIN",
    "busybox",
    "/bin/sh",
    "-c",
    script,
  ]);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "web-1.example.org\nweb-1.example.org\nchanged\n" });
  assert.equal(Deno.readTextFileSync("/proc/sys/kernel/hostname").trim(), before);
  const denied = await inside(world, "hostname changed");
  assert.notEqual(denied.code, 0);
});

Deno.test("run: network none has only lo, and it is up", async () => {
  const none = { network: "none" };
  assert.equal(await say(world, "ls /sys/class/net", none), "lo\n");
  assert.match(await say(world, "ip -o link show", none), /^1: lo: <LOOPBACK,UP,LOWER_UP>[^\n]*\n$/);
  assert.match(await say(world, "ip -o -4 address show", none), /^1: lo +inet 127\.0\.0\.1\/8 [^\n]*\n$/);
  assert.equal(await say(world, "ip route show", none), "");
});

Deno.test(
  "run: every group may open ping sockets, so ping works without a privilege",
  { ignore: skipHere("the archive of Alpine is not there", !hasAlpine()) },
  async () => {
    for (const user of ["root", "nobody"]) {
      const said = await say(world, "ping -c 1 -w 5 127.0.0.1", { image: "alpine", user });
      assert.match(said, /1 packets received, 0% packet loss/);
    }
  },
);

Deno.test("run: a port that a container listens on is not open on the host", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const listening = `nc -l -p ${port} >/dev/null & while ! netstat -ltn | grep -q :${port}; do sleep 0.01; done`;
  await using box = await converse(world, `${listening}; echo listening; read`);
  assert.equal(await box.ask(), "listening");
  await assert.rejects(Deno.connect({ hostname: "127.0.0.1", port }), Deno.errors.ConnectionRefused);
});

Deno.test("run: network host has the host's links", async () => {
  const { code, stdout } = await world.cli(["--rm", "--network", "host", "busybox", "ls", "/sys/class/net"]);
  const links = [...Deno.readTextFileSync("/proc/net/dev").matchAll(/^ *([^\s:]+):/gm)].map(([, name = ""]) => name);
  assert.deepEqual([code, lastingLinks(stdout.trim().split("\n"))], [0, lastingLinks(links)]);
});

Deno.test("run: a container leaves the machine as it was", async () => {
  const before = lookAtMachine();
  await say(world, "true", { limits: { pids: 20 } });
  assert.equal((await inside(world, "kill -9 $$; exit 3", { init: true })).code, 137);
  assertUnchanged(before);
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)].filter(({ name }) => !name.startsWith(".")), []);
});
