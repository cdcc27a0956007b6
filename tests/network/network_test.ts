import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { createNetwork, removeNetwork } from "../../mod.ts";
import { host, inside, say, until } from "../helpers/inside.ts";
import {
  assertApart,
  HERE,
  HERE_6,
  inhabit,
  type Inhabitant,
  type Outsider,
  type Peer,
  REMOTE,
  REMOTE_6,
  settleElsewhere,
  settleHere,
} from "../helpers/network.ts";
import type { Protocol } from "../helpers/peer.ts";
import { commandLine, hasAlpine } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";
import { skipHere } from "../helpers/skip.ts";

assertApart();
const world = makeWorld();
const scene = new AsyncDisposableStack();
let here: Outsider, remote: Outsider;
/** Two on the default network, and two on each of the others. */
let a: Inhabitant, b: Inhabitant, c: Inhabitant, d: Inhabitant, e: Inhabitant, six: Inhabitant, seven: Inhabitant;
let gateway6 = "";

Deno.test.beforeAll(async () => {
  remote = scene.use(await settleElsewhere());
  here = scene.use(await settleHere());
  const make = async (name: string, options: { internal?: boolean; subnets?: string[] } = {}): Promise<void> => {
    await createNetwork(name, { ...world.folders, ...options });
    scene.defer(() => removeNetwork(name, world.folders));
  };
  await Promise.all([
    make("other"),
    make("inner", { internal: true }),
    make("six", { subnets: ["10.66.0.0/24", "fd66::/64"] }),
  ]);
  gateway6 = "fd66::1";
  const live = async (name: string, network: string, publish: string[] = []): Promise<Inhabitant> =>
    scene.use(await inhabit(world, name, { network, publish }));
  [a, b, c, d, e, six, seven] = await Promise.all([
    live("a", "bridge"),
    live("b", "bridge"),
    live("c", "other", ["8000:7000", "8000:7000/udp"]),
    live("d", "inner"),
    live("e", "inner"),
    live("six", "six"),
    live("seven", "six"),
  ]);
});
Deno.test.afterAll(async () => {
  await scene.disposeAsync();
  await world[Symbol.asyncDispose]();
});

type Question = readonly [from: Peer, address: string, answer: string, port?: number];

/** Asks everything at once, over TCP and UDP. */
async function check(questions: readonly Question[]): Promise<void> {
  const protocols: readonly Protocol[] = ["tcp", "udp"];
  const all = protocols.flatMap((protocol) => questions.map((question) => ({ protocol, question })));
  const seen = await Promise.all(
    all.map(async ({ protocol, question: [from, address, , port] }) =>
      `${protocol} ${address}: ${await from.ask(protocol, address, port)}`
    ),
  );
  assert.deepEqual(seen, all.map(({ protocol, question: [, address, answer] }) => `${protocol} ${address}: ${answer}`));
}

Deno.test("run --network: host and containers reach each other, and so do siblings", () =>
  check([
    [here, a.address, "a from 10.10.10.1"],
    [a, "10.10.10.1", `here from ${a.address}`],
    [a, b.address, `b from ${a.address}`],
    [b, a.address, `a from ${b.address}`],
    [a, a.address, `a from ${a.address}`],
    [a, "127.0.0.1", "a from 127.0.0.1"],
    [a, HERE, `here from ${a.address}`],
  ]));

Deno.test("run --network: containers of different networks do not reach each other, but through a published port", () =>
  check([
    [a, c.address, "nothing"],
    [c, a.address, "nothing"],
    [a, d.address, "nothing"],
    [d, a.address, "nothing"],
    [six, a.address, "nothing"],
    [a, HERE, `c from ${c.container.networks[0]?.gateway}`, 8000],
    [remote, HERE, `c from ${REMOTE}`, 8000],
  ]));

Deno.test("run --network: another machine sees the host's address, and reaches no container by its own", async () => {
  await check([
    [a, REMOTE, `remote from ${HERE}`],
    [c, REMOTE, `remote from ${HERE}`],
    [remote, a.address, "nothing"],
    [six, REMOTE_6, `remote from ${HERE_6}`],
    [remote, six.address6, "nothing"],
  ]);
});

Deno.test("run --network: an internal network leads to siblings and nowhere else; the host reaches it", () =>
  check([
    [d, e.address, `e from ${d.address}`],
    [here, d.address, `d from ${d.container.networks[0]?.gateway}`],
    [d, d.container.networks[0]?.gateway ?? "", "nothing"],
    [d, REMOTE, "nothing"],
    [d, HERE, "nothing", 8000],
    [remote, d.address, "nothing"],
  ]));

Deno.test("run --network: an IPv6 network has both kinds of addresses", () =>
  check([
    [here, six.address6, "six from fd66::1"],
    [six, gateway6, `here from ${six.address6}`],
    [six, seven.address6, `seven from ${six.address6}`],
    [six, seven.address, `seven from ${six.address}`],
    [six, REMOTE, `remote from ${HERE}`],
  ]));

Deno.test("run --network: the host's loopback is out of reach, also for a container that may do all with its network", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const { port } = listener.addr;
    const script = `
      ip address del 127.0.0.1/8 dev lo
      for name in all eth0; do echo 1 > /proc/sys/net/ipv4/conf/$name/route_localnet; done
      ip route add 127.0.0.0/8 via 10.10.10.1 || exit 3
      nc -w 1 127.0.0.1 ${port} </dev/null && echo reached; nc -w 1 10.10.10.1 ${port} </dev/null && echo reached; true`;
    const { stdout } = await inside(world, script, { privileged: true });
    assert.equal(stdout, "");
  } finally {
    listener.close();
  }
});

Deno.test("run --network: a container that may do all with its network cannot seem to be the host's loopback, or somebody else", async () => {
  const socket = createSocket("udp4"), seen: string[] = [];
  socket.on("message", (bytes, { address }) => void seen.push(`${bytes.toString().trim()} ${address}`));
  await new Promise<void>((resolve) => socket.bind(7001, "0.0.0.0", resolve));
  try {
    const script = `
      for name in all eth0; do echo 1 > /proc/sys/net/ipv4/conf/$name/route_localnet; done
      for address in 127.0.0.2 ${REMOTE}; do
        ip address add $address/32 dev eth0
        ip route replace 10.10.10.1/32 dev eth0 src $address || exit 3
        echo false > /dev/udp/10.10.10.1/7001
      done
      ip route del 10.10.10.1/32
      echo true > /dev/udp/10.10.10.1/7001
      ip -4 -o address show dev eth0`;
    const stdout = await say(world, ["bash", "-c", script], { image: "host", privileged: true });
    const [, own] = /inet (10\S+)\/24/.exec(stdout) ?? [];
    await until("the last word is heard", () => seen.length > 0);
    assert.deepEqual(seen, [`true ${own}`]);
  } finally {
    socket.close();
  }
});

Deno.test("run --network: ping reaches the gateway, siblings and other machines", {
  ignore: skipHere("the archive of Alpine is not there", !hasAlpine()),
}, async () => {
  const script = `for to in 10.10.10.1 ${b.address} ${REMOTE}; do ping -c 1 -w 2 $to; done`;
  const said = await say(world, script, { image: "alpine", user: "nobody" });
  assert.equal(said.match(/ 0% packet loss/g)?.length, 3, said);
});

Deno.test("run --network: a container with two networks is on both, and its first leads out", async () => {
  await using both = await inhabit(world, "both", { network: ["other", "bridge"] });
  const addresses = both.container.networks.map(({ addresses: [one = ""] }) => one.replace(/\/.*/, ""));
  await check([
    [both, a.address, `a from ${addresses[1]}`],
    [both, c.address, `c from ${addresses[0]}`],
    [a, addresses[1] ?? "", `both from ${a.address}`],
    [both, REMOTE, `remote from ${HERE}`],
  ]);
  assert.deepEqual(both.container.networks.map(({ network, interface: name }) => [network, name]), [
    ["other", "eth0"],
    ["sauropod0", "eth1"],
  ]);
});

Deno.test("run --network: a container's first packet gets through at once", async () => {
  const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const accepting = (async () => {
    for await (const peer of listener) peer.close();
  })();
  // No other container is on these, so that their bridges are without any between two starts.
  const networks = await Promise.all(["n1", "n2", "n3", "n4", "n5"].map((name) => createNetwork(name, world.folders)));
  const slow: string[] = [];
  for (let i = 0; i < 30; i++) {
    const { name, subnets: [subnet] } = networks[i % 5] ?? assert.fail();
    const start = performance.now();
    await say(world, `nc ${subnet?.gateway} ${listener.addr.port} </dev/null`, { network: name });
    if (performance.now() - start > 800) slow.push(name);
  }
  listener.close();
  await accepting.catch(() => {});
  for (const { name } of networks) await removeNetwork(name, world.folders);
  assert.deepEqual(slow, []);
});

/** Seconds that a limited container needs to send bytes to the host, or to get them. */
async function secondsOf(script: (port: number) => string, serve: (peer: Deno.TcpConn) => Promise<void>) {
  using listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const served = listener.accept().then(serve);
  const start = performance.now();
  await Promise.all([say(world, script(listener.addr.port), { netRate: 8_000_000 }), served]);
  return (performance.now() - start) / 1000;
}

Deno.test("run --network: a rate limits what a container sends and what it gets", async () => {
  const bytes = new Uint8Array(2_000_000);
  const times = await Promise.all([
    secondsOf(
      (port) => `dd if=/dev/zero bs=1000 count=2000 2>/dev/null | nc 10.10.10.1 ${port}`,
      async (peer) => assert.equal((await new Response(peer.readable).bytes()).length, bytes.length),
    ),
    secondsOf(
      (port) => `test $(nc 10.10.10.1 ${port} </dev/null | wc -c) = ${bytes.length}`,
      (peer) => ReadableStream.from([bytes]).pipeTo(peer.writable),
    ),
  ]);
  for (const time of times) assert.ok(time > 1.5 && time < 5, `2 MB at 8 Mbit/s took ${time} s`);
});

Deno.test("run --network: a new network's packets are as large as the uplink's, unless it is told", async () => {
  await host("ip", "link", "set", "uplink", "mtu", "1400");
  try {
    for (const [mtu, expected] of [[undefined, "1400"], [1300, "1300"]] as const) {
      const { bridge } = await createNetwork("narrow", { ...world.folders, mtu });
      try {
        assert.match(await host("ip", "link", "show", bridge), new RegExp(` mtu ${expected} `));
        assert.equal((await say(world, "cat /sys/class/net/eth0/mtu", { network: "narrow" })).trim(), expected);
      } finally {
        await removeNetwork("narrow", world.folders);
      }
    }
  } finally {
    await host("ip", "link", "set", "uplink", "mtu", "1500");
  }
});

/** A table as Docker makes it. */
const FOREIGN = `table ip filter {
  chain FORWARD { type filter hook forward priority filter; policy drop; iifname "docker0" accept; }
  chain OTHER { counter drop; }
}`;

Deno.test("run --network: where Docker drops what is forwarded, containers and published ports still work", async () => {
  await host("nft", FOREIGN);
  try {
    const list = (): Promise<string> => host("nft", "list", "table", "ip", "filter");
    const before = await list();
    await createNetwork("beside", world.folders);
    await check([[a, REMOTE, "nothing"]]);
    {
      await using z = await inhabit(world, "z", {
        network: ["beside", "bridge"],
        publish: ["8100:7000", "8100:7000/udp"],
      });
      await check([
        [z, REMOTE, `remote from ${HERE}`],
        [a, REMOTE, `remote from ${HERE}`],
        [remote, HERE, `z from ${REMOTE}`, 8100],
        [z, c.address, "nothing"],
      ]);
      const lines = (text: string): string[] => text.split("\n").map((line) => line.trim());
      const during = lines(await list());
      assert.deepEqual(during.filter((line) => !line.includes('comment "sauropod ')), lines(before));
      assert.equal(during.filter((line) => line.includes('comment "sauropod ')).length, 4);
    }
    await inside(world, "true");
    assert.equal((await list()).match(/comment "sauropod /g)?.length, 4, "rules are not added twice");
    await removeNetwork("beside", world.folders);
    assert.equal((await list()).match(/comment "sauropod sauropod0"/g)?.length, 2);
    assert.equal((await list()).match(/comment "sauropod /g)?.length, 2);
  } finally {
    await host("nft", "delete", "table", "ip", "filter");
  }
});

Deno.test("run --network: the default network works where no interface was ever up", async () => {
  const words = commandLine(["--rm", "busybox", "ip", "-o", "-4", "address", "show", "eth0"]);
  const unshare = new Deno.Command("unshare", { args: ["--net", ...words], env: { SAUROPOD_HOME: world.home } });
  const { code, stdout, stderr } = await unshare.output();
  assert.deepEqual([code, new TextDecoder().decode(stderr)], [0, ""]);
  assert.match(new TextDecoder().decode(stdout), /inet 10\.10\.10\.\d+\/24/);
});
