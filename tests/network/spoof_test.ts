import assert from "node:assert/strict";
import { createNetwork, listNetworks, removeNetwork, run } from "../../mod.ts";
import { host, lineReader, text, until } from "../helpers/inside.ts";
import {
  assertApart,
  bare,
  containerLinks,
  HERE,
  HERE_6,
  inhabit,
  type Inhabitant,
  type Outsider,
  ruleset,
  settleElsewhere,
  settleHere,
} from "../helpers/network.ts";
import { PROJECT } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

assertApart();
const world = makeWorld();
const scene = new AsyncDisposableStack();
const FRAMES = ["/usr/bin/python3", `${PROJECT}/tests/helpers/frames.py`] as const;
const PIPED = { stdout: "piped", stderr: "piped" } as const;
const GATEWAY = "10.66.0.1", GATEWAY_6 = "fd66::1";

let here: Outsider, remote: Outsider, victim: Inhabitant, mallory: Inhabitant;
let bridge = "";

Deno.test.beforeAll(async () => {
  remote = scene.use(await settleElsewhere());
  here = scene.use(await settleHere());
  const six = await createNetwork("six", { ...world.folders, subnets: ["10.66.0.0/24", "fd66::/64"] });
  scene.defer(() => removeNetwork("six", world.folders));
  bridge = six.bridge;
  const publish = ["8000:7000", "8000:7000/udp"];
  victim = scene.use(await inhabit(world, "victim", { network: "six", capAdd: ["NET_RAW"], publish }));
  mallory = scene.use(await inhabit(world, "mallory", { network: "six", capAdd: ["NET_RAW", "NET_ADMIN"] }));
});
Deno.test.afterAll(async () => {
  await scene.disposeAsync();
  await world[Symbol.asyncDispose]();
});

/** Runs a command in a peer's container, with the capabilities that it has; what it wrote. */
async function within({ container }: Inhabitant, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await (await container.exec(words, PIPED)).output();
  assert.equal(code, 0, `${words.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}

function frames(peer: Inhabitant, ...words: string[]): Promise<string> {
  return within(peer, ...FRAMES, ...words);
}

function macOf({ container }: Inhabitant): string {
  return container.networks[0]?.mac ?? "";
}

/** The addresses of somebody, as frames.py wants them. */
function identity(peer: Inhabitant): string[] {
  return [macOf(peer), peer.address, peer.address6];
}

/** The kinds of frames that a peer hears of those that `send` sends. */
async function hear(peer: Inhabitant, send: () => Promise<unknown>): Promise<string[]> {
  const listener = await peer.container.exec([...FRAMES, "hear"], { ...PIPED, stdin: "piped" });
  const next = lineReader(listener.stdout);
  assert.equal(await next(), "ready");
  await send();
  await listener.stdin.close();
  const heard: string[] = [];
  for (let line = await next(); line !== undefined; line = await next()) heard.push(line);
  assert.equal((await listener.status).code, 0, text(await new Response(listener.stderr).bytes()));
  return heard;
}

Deno.test("run --network: a container sends no frame but under its own addresses, and claims nobody else's", async () => {
  const heard = await hear(
    victim,
    () => frames(mallory, "send", ...identity(mallory), ...identity(victim)),
  );
  assert.deepEqual(heard, [
    "true advert",
    "true advert of the link-local address",
    "true arp",
    "true check for a duplicate",
    "true ip",
  ]);
});

Deno.test("a container with NET_RAW cannot take the gateway's place in ARP or neighbour discovery", async () => {
  assert.equal(await victim.ask("tcp", HERE), `here from ${victim.address}`);
  assert.equal(await victim.ask("tcp", HERE_6), `here from ${victim.address6}`);
  const neighbours = async (): Promise<string[]> =>
    (await within(victim, "ip", "neigh", "show")).split("\n").filter((line) =>
      line.startsWith(GATEWAY + " ") || line.startsWith(GATEWAY_6)
    )
      .map((line) => line.replace(/.*lladdr (\S+).*/, "$1"));
  const before = await neighbours();
  assert.equal(before.length, 2);
  await frames(mallory, "claim", macOf(mallory), ...identity(victim).slice(0, 2), GATEWAY, victim.address6, GATEWAY_6);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(await neighbours(), before);
  assert.ok(!before.includes(macOf(mallory)));
});

Deno.test("run --network: a container with NET_ADMIN does not take over a sibling's hardware address, address or published port", async () => {
  const ip = (...words: string[]): Promise<string> => within(mallory, "ip", ...words);
  const expected = { tcp: `victim from ${GATEWAY}`, udp: `victim from ${GATEWAY}` };
  const asked = async (): Promise<Record<string, string>> => ({
    tcp: await here.ask("tcp", victim.address),
    udp: await here.ask("udp", victim.address),
  });
  assert.deepEqual(await asked(), expected);
  const own = macOf(mallory);
  await ip("address", "del", `${mallory.address}/24`, "dev", "eth0");
  await ip("address", "add", `${victim.address}/24`, "dev", "eth0");
  await ip("link", "set", "eth0", "address", macOf(victim));
  try {
    // Whoever asks under an address makes others believe that it is there.
    await Promise.all([GATEWAY, HERE].map((address) => mallory.ask("udp", address)));
    assert.deepEqual(await asked(), expected);
    assert.equal(await remote.ask("tcp", HERE, 8000), "victim from 192.0.2.2");
    await ip("link", "set", "eth0", "address", own);
    await mallory.ask("udp", GATEWAY);
    await host("ip", "neigh", "flush", "dev", bridge);
    await mallory.ask("udp", GATEWAY);
    assert.deepEqual(await asked(), expected);
    assert.equal(await remote.ask("tcp", HERE, 8000), "victim from 192.0.2.2");
  } finally {
    await ip("link", "set", "eth0", "address", own);
    await ip("address", "del", `${victim.address}/24`, "dev", "eth0");
    await ip("address", "add", `${mallory.address}/24`, "dev", "eth0");
  }
  assert.equal(await here.ask("tcp", mallory.address), `mallory from ${GATEWAY}`);
});

Deno.test("run --network: frames of many senders do not flood the bridge's table", async () => {
  await frames(mallory, "flood", "200");
  const learned = (await host("bridge", "fdb", "show", "br", bridge)).match(/02:ee:/g) ?? [];
  assert.equal(learned.length, 0);
});

Deno.test("run --network: a container with several networks is bound on each; one without IPv6 carries none", async () => {
  await createNetwork("second", world.folders);
  try {
    await using peer = await inhabit(world, "peer", { network: "second", capAdd: ["NET_RAW"] });
    await using both = await inhabit(world, "both", { network: ["six", "second", "bridge"], capAdd: ["NET_RAW"] });
    for (const { addresses: [address] } of both.container.networks) {
      assert.match(await here.ask("tcp", bare(address)), /^both from /);
    }
    const [, second] = both.container.networks;
    assert.equal(await both.ask("tcp", peer.address), `peer from ${bare(second?.addresses[0])}`);
    const own = [second?.mac ?? "", bare(second?.addresses[0]), "fd66::9"];
    const others = [macOf(peer), peer.address, "fd66::8"];
    assert.deepEqual(await hear(peer, () => within(both, "env", "PORT=eth1", ...FRAMES, "send", ...own, ...others)), [
      "true arp",
      "true ip",
    ]);
  } finally {
    await removeNetwork("second", world.folders);
  }
});

Deno.test("run --network: a container of an internal network reaches nothing that listens on the host, by none of its addresses", async () => {
  await createNetwork("inner", { ...world.folders, subnets: ["10.67.0.0/24", "fd67::/64"], internal: true });
  try {
    const options = { network: "inner", capAdd: ["NET_ADMIN", "NET_RAW"], publish: ["127.0.0.1:8067:7000"] };
    await using inner = await inhabit(world, "inner", options);
    await within(inner, "ip", "route", "add", "default", "via", "10.67.0.1");
    await within(inner, "ip", "route", "add", "default", "via", "fd67::1");
    const there = ["10.67.0.1", "fd67::1", HERE, HERE_6, GATEWAY, GATEWAY_6];
    const protocols = ["tcp", "udp"] as const;
    const answers = await Promise.all(
      there.flatMap((address) => protocols.map(async (one) => `${address} ${await inner.ask(one, address)}`)),
    );
    assert.deepEqual(answers, there.flatMap((address) => protocols.map(() => `${address} nothing`)));
    for (const gateway of there.slice(0, 2)) await within(inner, "busybox", "ping", "-c", "1", "-w", "2", gateway);
    for (const address of [inner.address, inner.address6]) assert.match(await here.ask("tcp", address), /^inner from /);
    assert.equal(await here.ask("tcp", "127.0.0.1", 8067), "inner from 10.67.0.1");
  } finally {
    await removeNetwork("inner", world.folders);
  }
});

Deno.test("rules that were flushed are there again for all who run when the next container starts", async () => {
  await host("nft", "delete", "table", "bridge", bridge);
  await using _next = await inhabit(world, "next", { network: "six" });
  const { containers = [] } = (await listNetworks(world.folders)).find(({ name }) => name === "six") ?? {};
  const rules = await ruleset();
  for (const { addresses } of containers) {
    for (const address of addresses) assert.ok(rules.includes(` . ${address}`), address);
  }
  const heard = await here.ask("tcp", victim.address);
  assert.equal(heard, `victim from ${GATEWAY}`);
});

Deno.test("run --network: what guards a network is not made twice for the same address, and goes with the network", async () => {
  const { bridge: own } = await createNetwork("short", world.folders);
  const once = async (): Promise<string> => {
    await using child = await run("host", ["true"], { ...world.folders, network: "short" });
    await child.status;
    const [{ host: port = "" } = {}] = child.networks;
    await until("its interface is gone", () => !containerLinks().includes(port));
    return await host("nft", "list", "table", "bridge", own);
  };
  const first = await once();
  assert.equal((await once()).split("\n").length, first.split("\n").length);
  await removeNetwork("short", world.folders);
  assert.ok(!(await ruleset()).includes(own));
});
