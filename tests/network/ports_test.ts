import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import {
  createNetwork,
  NetworkError,
  remove,
  removeNetwork,
  restart,
  run,
  runDetached,
  type RunOptions,
} from "../../mod.ts";
import { host, until } from "../helpers/inside.ts";
import {
  assertApart,
  awaitQuiet,
  HERE,
  HERE_6,
  inhabit,
  type Inhabitant,
  type Outsider,
  type Peer,
  REMOTE,
  REMOTE_6,
  ruleset,
  settleElsewhere,
} from "../helpers/network.ts";
import { ask } from "../helpers/peer.ts";
import { makeWorld } from "../helpers/world.ts";

assertApart();
const world = makeWorld();
const scene = new AsyncDisposableStack();
const here: Peer = { ask: (protocol, address, port = 0) => ask(protocol, address, port) };
let remote: Outsider, sibling: Inhabitant, stranger: Inhabitant;

Deno.test.beforeAll(async () => {
  remote = scene.use(await settleElsewhere());
  await createNetwork("six", { ...world.folders, subnets: ["10.66.0.0/24", "fd66::/64"] });
  scene.defer(() => removeNetwork("six", world.folders));
  sibling = scene.use(await inhabit(world, "sibling"));
  stranger = scene.use(await inhabit(world, "stranger", { network: "six" }));
});
Deno.test.afterAll(async () => {
  await scene.disposeAsync();
  await awaitQuiet();
  await world[Symbol.asyncDispose]();
});

const PROTOCOLS = ["tcp", "udp"] as const;

/** Publishes over both protocols. */
function both(...ports: string[]): string[] {
  return ports.flatMap((port) => PROTOCOLS.map((protocol) => `${port}/${protocol}`));
}

/** Who answers whom: `nothing`, or the name of the peer and whom it sees. */
type Row = readonly [from: Peer, address: string, port: number, answer: string];

async function check(rows: readonly Row[]): Promise<void> {
  const all = PROTOCOLS.flatMap((protocol) => rows.map((row) => ({ protocol, row })));
  const seen = await Promise.all(
    all.map(({ protocol, row: [from, address, port] }) => from.ask(protocol, address, port)),
  );
  const line = (answer = "", i: number): string =>
    `${all[i]?.protocol} ${all[i]?.row.slice(1, 3).join(" ")}: ${answer}`;
  assert.deepEqual(seen.map(line), all.map(({ row }) => row[3]).map(line));
}

/** Whether bridged packets pass through the packet filter: they do where br_netfilter is loaded, as Docker does. */
const BRIDGE_FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const BRIDGE_FILTER_6 = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";

function isBridgeFilterHere(): boolean {
  try {
    return Deno.statSync(BRIDGE_FILTER).isFile;
  } catch {
    return false;
  }
}

for (const filter of isBridgeFilterHere() ? ["0", "1"] : ["0"]) {
  const where = filter === "1" ? "where bridges are filtered" : "where bridges are left alone";
  const setFilter = (value: string): void => {
    if (isBridgeFilterHere()) {
      for (const file of [BRIDGE_FILTER, BRIDGE_FILTER_6]) Deno.writeTextFileSync(file, value);
    }
  };

  Deno.test(`run -p: a published port is reached from everywhere, and other machines are seen as they are, ${where}`, async () => {
    const before = isBridgeFilterHere() ? Deno.readTextFileSync(BRIDGE_FILTER) : "";
    setFilter(filter);
    try {
      await using box = await inhabit(world, "box", { network: ["bridge", "six"], publish: both("8000:7000") });
      await using box6 = await inhabit(world, "box6", { network: "six", publish: both("8006:7000") });
      await check([
        [remote, HERE, 8000, `box from ${REMOTE}`],
        [here, HERE, 8000, `box from ${HERE}`],
        [here, "127.0.0.1", 8000, "box from 10.10.10.1"],
        [here, "127.9.9.9", 8000, "box from 10.10.10.1"],
        [here, "10.10.10.1", 8000, "box from 10.10.10.1"],
        [sibling, HERE, 8000, "box from 10.10.10.1"],
        [sibling, "10.10.10.1", 8000, "box from 10.10.10.1"],
        [sibling, HERE, 8006, "box6 from 10.66.0.1"],
        [box6, HERE, 8000, "box from 10.10.10.1"],
        [box, HERE, 8000, "box from 10.10.10.1"],
        [box, "10.10.10.1", 8000, "box from 10.10.10.1"],
        [remote, HERE, 7000, "nothing"],
        [here, "127.0.0.1", 7000, "nothing"],
      ]);
      await check([
        [remote, HERE_6, 8006, `box6 from ${REMOTE_6}`],
        [here, HERE_6, 8006, `box6 from ${HERE_6}`],
        [remote, HERE, 8006, `box6 from ${REMOTE}`],
        [stranger, HERE_6, 8006, "box6 from fd66::1"],
        [box6, HERE_6, 8006, "box6 from fd66::1"],
      ]);
      const ports = (address: string): unknown[] =>
        PROTOCOLS.map((protocol) => ({ protocol, hostAddress: address, hostPort: 8006, containerPort: 7000 }));
      const told = box6.container.ports.toSorted((one, other) => one.hostAddress < other.hostAddress ? -1 : 1);
      assert.deepEqual(told, [...ports("0.0.0.0"), ...ports("::")]);
    } finally {
      setFilter(before);
    }
  });
}

Deno.test("run -p: port says where the ports of a container are published, and one that is not is an error", async () => {
  await using _box = await inhabit(world, "box", { publish: ["127.0.0.1:8001:7000", "8002:53/udp"] });
  const port = (...words: string[]) => world.cli(["port", "box", ...words]);
  assert.equal((await port()).stdout, "7000/tcp -> 127.0.0.1:8001\n53/udp -> 0.0.0.0:8002\n");
  assert.equal((await port("7000")).stdout, "127.0.0.1:8001\n");
  assert.equal((await port("53/udp")).stdout, "0.0.0.0:8002\n");
  const none = await port("53");
  assert.deepEqual([none.code, none.stdout], [125, ""]);
  assert.match(none.stderr, /^sauropod: port 53 of container box is not published\n/);
  assert.match((await port("http")).stderr, /invalid port "http"/);
});

Deno.test("run -p: a port published on one address is not reached by another", async () => {
  await using _one = await inhabit(world, "one", { publish: both("127.0.0.1:8001:7000", `${HERE}:8002:7000`) });
  await check([
    [here, "127.0.0.1", 8001, "one from 10.10.10.1"],
    [here, HERE, 8001, "nothing"],
    [remote, HERE, 8001, "nothing"],
    [sibling, HERE, 8001, "nothing"],
    [sibling, "10.10.10.1", 8001, "nothing"],
    [remote, HERE, 8002, `one from ${REMOTE}`],
    [sibling, HERE, 8002, "one from 10.10.10.1"],
    [here, "127.0.0.1", 8002, "nothing"],
  ]);
});

Deno.test("run -p: a port published on the loopback is not reached by a neighbour who calls that his own way", async () => {
  await using _box = await inhabit(world, "box", { publish: both("127.0.0.5:8001:7000") });
  const there = (...words: string[]): Promise<string> => host("nsenter", `--net=/proc/${remote.pid}/ns/net`, ...words);
  for (const name of ["all", "uplink"]) await there("sysctl", "-qw", `net.ipv4.conf.${name}.route_localnet=1`);
  await there("ip", "route", "add", "127.0.0.5", "via", HERE, "dev", "uplink", "table", "100");
  await there("ip", "rule", "add", "pref", "0", "to", "127.0.0.5", "lookup", "100");
  await there("ip", "rule", "add", "pref", "1", "lookup", "local");
  await there("ip", "rule", "del", "pref", "0", "lookup", "local");
  await check([[here, "127.0.0.5", 8001, "box from 10.10.10.1"], [remote, "127.0.0.5", 8001, "nothing"]]);
});

Deno.test("run -p: ranges lead to ports with the same numbers or with others", async () => {
  const options = { ports: [7000, 7001, 7002], publish: both("7000-7002:7000-7002", "9000-9002:7000-7002") };
  await using box = await inhabit(world, "box", options);
  const ports = [7000, 7001, 7002, 9000, 9001, 9002];
  await check([
    ...ports.map((port): Row => [remote, HERE, port, `box from ${REMOTE}`]),
    ...ports.map((port): Row => [here, "127.0.0.1", port, "box from 10.10.10.1"]),
    [remote, HERE, 9003, "nothing"],
  ]);
  assert.deepEqual(box.container.ports.map(({ hostPort, containerPort }) => hostPort - containerPort), [
    ...new Array(6).fill(0),
    ...new Array(6).fill(2000),
  ]);
});

Deno.test("run -p: a port range's ends lead to the ports with their own numbers", async () => {
  await using box = await inhabit(world, "box", { ports: [7000], publish: both("9000-9001:7000-7001") });
  await check([[remote, HERE, 9000, `box from ${REMOTE}`], [remote, HERE, 9001, "nothing"]]);
  assert.equal(box.container.ports.length, 4);
});

Deno.test("run -p: without a number the host's port is a free one, and is told", async () => {
  const options = { publish: ["7000", ":7000/udp"], expose: ["7000", "7000/udp"], publishAll: true };
  await using box = await inhabit(world, "box", options);
  const { ports } = box.container;
  assert.deepEqual(ports.map(({ protocol, containerPort }) => `${protocol} ${containerPort}`), [
    "tcp 7000",
    "udp 7000",
    "tcp 7000",
    "udp 7000",
  ]);
  for (const { protocol, hostPort } of ports) {
    assert.equal(await remote.ask(protocol, HERE, hostPort), `box from ${REMOTE}`);
  }
  const { stdout } = await world.cli(["inspect", "box"]);
  assert.deepEqual(JSON.parse(stdout)[0].ports, ports);
});

Deno.test("run -p: exposing alone publishes nothing", async () => {
  await using box = await inhabit(world, "box", { expose: ["7000"] });
  assert.deepEqual(box.container.ports, []);
  assert.doesNotMatch(await ruleset(), /sauropod-/);
});

async function refused(options: RunOptions): Promise<string> {
  const error = await run("busybox", ["true"], { ...world.folders, ...options }).then(
    async (container) => void await container[Symbol.asyncDispose](),
    (error) => error,
  );
  assert.ok(error instanceof NetworkError, `${JSON.stringify(options)}: ${error}`);
  return error.code;
}

/** What must not change when a port is refused. */
async function traces(): Promise<unknown> {
  const containers = [...Deno.readDirSync(world.folders.containers)].map(({ name }) => name).sort();
  return [containers, await ruleset(), Deno.readTextFileSync("/proc/net/dev").match(/^ *\S+:/gm), openFiles()];
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("run -p: a port in use is refused, and nothing is made", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const datagrams = createSocket("udp4");
  await new Promise<void>((resolve) => datagrams.bind(0, "0.0.0.0", resolve));
  try {
    const { port } = listener.addr;
    await using box = await inhabit(world, "box", { publish: ["8000:7000", "127.0.0.1:8001:7000"] });
    assert.equal(box.container.ports.length, 2);
    const before = await traces();
    const cases: [publish: string, code: string][] = [
      [`${port}:80`, "port-taken"],
      [`127.0.0.1:${port}:80`, "port-taken"],
      [`${datagrams.address().port}:80/udp`, "port-taken"],
      ["8000:80", "port-taken"],
      ["127.0.0.1:8000:80", "port-taken"],
      ["8001:80", "port-taken"],
      ["7999-8000:80-81", "port-taken"],
      [`${REMOTE}:8005:80`, "bad-port"],
    ];
    for (const [publish, code] of cases) {
      assert.equal(await refused({ publish: ["8010:80", publish] }), code, publish);
      assert.deepEqual(await traces(), before, publish);
    }
    await using _fine = await inhabit(world, "fine", { publish: ["8000:7000/udp", "8010:7000"] });
    assert.equal(await remote.ask("udp", HERE, 8000), `fine from ${REMOTE}`);
    assert.equal(await remote.ask("tcp", HERE, 8000), `box from ${REMOTE}`);
  } finally {
    datagrams.close();
  }
});

Deno.test("run -p: while a port is published nobody else on the host can listen on it; afterwards all can", async () => {
  const listen = (): void => Deno.listen({ hostname: "0.0.0.0", port: 8000 }).close();
  {
    await using box = await inhabit(world, "box", { publish: both("8000:7000") });
    assert.throws(listen, Deno.errors.AddrInUse);
    box.container.kill("SIGKILL");
    await box.container.status;
    listen();
    assert.doesNotMatch(await ruleset(), /sauropod-/);
    await check([[remote, HERE, 8000, "nothing"]]);
  }
  await using _next = await inhabit(world, "next", { publish: both("8000:7000") });
  assert.equal(await remote.ask("tcp", HERE, 8000), `next from ${REMOTE}`);
  assert.equal(await remote.ask("udp", HERE, 8000), `next from ${REMOTE}`);
});

Deno.test("run -p: who has ended holds its ports no longer: it can be started again at once", async () => {
  const options = { ...world.folders, name: "again", keep: true, publish: both("8000:7000") };
  const id = await runDetached("busybox", ["sleep", "1000"], options);
  try {
    for (let i = 0; i < 20; i++) await restart(id, { ...world.folders, timeout: 0 });
  } finally {
    await remove(id, { ...world.folders, force: true });
  }
});

Deno.test("run -p: when the command line is killed its ports are free at once, and their rules are gone", async () => {
  const child = world.start([
    "--rm",
    "-p",
    "8000:80",
    "-p",
    "8000:80/udp",
    "busybox",
    "/bin/sh",
    "-c",
    "echo up; sleep 100",
  ]);
  const reader = child.stdout.getReader();
  await reader.read();
  assert.match(await ruleset(), /sauropod-/);
  child.kill("SIGKILL");
  await Promise.all([child.status, reader.cancel(), child.stderr.cancel()]);
  assert.doesNotMatch(await ruleset(), /sauropod-/);
  Deno.listen({ hostname: "0.0.0.0", port: 8000 }).close();
  await until("the address is free", async () => {
    await using box = await run("busybox", ["true"], world.folders);
    return box.networks[0]?.addresses[0] === "10.10.10.3/24";
  });
});

Deno.test("run -p: a datagram that a peer keeps sending finds the container that now has the port", async () => {
  const keep = createSocket("udp4");
  const next = (patience: number): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const timer = setTimeout(() => resolve("nothing"), patience);
    keep.once("message", (bytes) => resolve(bytes.toString()));
    keep.send("who?", 8000, HERE);
    return promise.finally(() => {
      clearTimeout(timer);
      keep.removeAllListeners("message");
    });
  };
  try {
    assert.equal(await next(400), "nothing");
    for (const name of ["first", "second", "third"]) {
      await using _box = await inhabit(world, name, { publish: ["8000:7000/udp"] });
      assert.equal(await next(60_000), `${name} from ${HERE}`);
    }
  } finally {
    keep.close();
  }
});
