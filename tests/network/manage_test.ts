import assert from "node:assert/strict";
import {
  createNetwork,
  listNetworks,
  NetworkError,
  type NetworkOptions,
  removeNetwork,
  run,
  type RunOptions,
  SauropodError,
} from "../../mod.ts";
import { converse, host, say } from "../helpers/inside.ts";
import { assertApart, awaitQuiet, ruleset } from "../helpers/network.ts";
import { makeWorld } from "../helpers/world.ts";

assertApart();
const world = makeWorld();
Deno.test.afterAll(async () => {
  await awaitQuiet();
  await removeNetwork("bridge", world.folders);
  await world[Symbol.asyncDispose]();
});

function files(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? [name, ...files(`${folder}/${name}`).map((path) => `${name}/${path}`)] : [name]
  ).sort();
}

/** All that a refused command could leave. */
async function traces(): Promise<unknown> {
  await awaitQuiet();
  const links = Deno.readTextFileSync("/proc/net/dev").match(/^ *\S+:/gm);
  // The kernel looks for duplicates of an address for a while.
  const addresses = (await host("ip", "-o", "address")).replaceAll(" tentative", "");
  return [files(world.folders.containers), links, addresses, await ruleset()];
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then((value) => value, (error) => error);
  return error instanceof SauropodError ? error.code : `no error of Sauropod's: ${error}`;
}

async function start(options: RunOptions): Promise<void> {
  await using box = await run("busybox", ["true"], { ...world.folders, ...options });
  await box.status;
}

Deno.test("networks are made, listed, inspected, used and removed", async () => {
  const { cli } = world;
  const made = await cli([
    "network",
    "create",
    "back",
    "--subnet",
    "10.77.0.0/16",
    "--gateway",
    "10.77.3.4",
    "--mtu",
    "1400",
  ]);
  assert.deepEqual(made, { code: 0, stdout: "back\n", stderr: "" });
  {
    await using box = await converse(world, "ip -o -4 route; read line", { network: "back", name: "user" });
    assert.equal(await box.ask(), "default via 10.77.3.4 dev eth0 ");
    const [address] = box.container.networks[0]?.addresses ?? [];
    assert.equal(address, "10.77.0.1/16");
    const inspected = await cli(["network", "inspect", "back", "bridge"]);
    const [{ created, bridge, ...info }, other] = JSON.parse(inspected.stdout);
    assert.ok(Date.now() - Date.parse(created) < 60_000);
    assert.match(bridge, /^sp-/);
    assert.deepEqual(info, {
      name: "back",
      subnets: [{ subnet: "10.77.0.0/16", gateway: "10.77.3.4" }],
      mtu: 1400,
      internal: false,
      up: true,
      containers: [{ id: box.container.id, addresses: ["10.77.0.1"], names: [box.container.id, "user"] }],
    });
    assert.equal(other.name, "sauropod0");
    const table = (await cli(["network", "ls"])).stdout.trim().split("\n").map((line) => line.trim().split(/ {2,}/));
    assert.deepEqual(table[2], ["back", "10.77.0.0/16", bridge, "no", "1"]);
    assert.equal((await cli(["network", "ls", "--quiet"])).stdout, "sauropod0\nback\n");
    assert.deepEqual(JSON.parse((await cli(["network", "ls", "--json"])).stdout), await listNetworks(world.folders));
    const [record] = JSON.parse((await cli(["inspect", "user"])).stdout);
    assert.deepEqual(record.networks, box.container.networks);

    const used = await cli(["network", "rm", "back"]);
    assert.deepEqual([used.code, used.stdout], [125, ""]);
    assert.match(used.stderr, /cannot remove network back: in use by user/);
    assert.equal((await cli(["network", "prune"])).stdout, "");
  }
  assert.equal((await cli(["network", "create", "front", "--ipv6", "--internal"])).code, 0);
  assert.deepEqual(await cli(["network", "rm", "back"]), { code: 0, stdout: "back\n", stderr: "" });
  assert.deepEqual(await cli(["network", "prune"]), { code: 0, stdout: "front\n", stderr: "" });
  assert.equal((await cli(["network", "rm", "bridge"])).code, 0);
  assert.deepEqual(await ruleset(), "");
  await say(world, "true");
});

Deno.test("a network that cannot be made leaves nothing", async () => {
  await createNetwork("taken", { ...world.folders, subnets: ["10.70.0.0/24"] });
  await host("ip", "link", "add", "office", "type", "bridge");
  await host("ip", "address", "add", "172.22.0.1/16", "dev", "office");
  await host("ip", "link", "set", "office", "up");
  try {
    const cases: [name: string, options: NetworkOptions, code: string][] = [
      ["taken", {}, "network-exists"],
      ["none", {}, "bad-network"],
      ["bridge", {}, "bad-network"],
      ["a b", {}, "bad-network"],
      ["", {}, "bad-network"],
      ["../up", {}, "bad-network"],
      ["x".repeat(64), {}, "bad-network"],
      ["n", { subnets: ["10.70.0.128/25"] }, "subnet-taken"],
      ["n", { subnets: ["10.10.10.0/28"] }, "subnet-taken"],
      ["n", { subnets: ["172.22.7.0/24"] }, "subnet-taken"],
      ["n", { subnets: ["172.16.0.0/12"] }, "subnet-taken"],
      ["n", { subnets: ["10.71.0.0"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.5/24"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/31"] }, "bad-address"],
      ["n", { subnets: ["10.0.0.0/7"] }, "bad-address"],
      ["n", { subnets: ["127.5.0.0/24"] }, "bad-address"],
      ["n", { subnets: ["224.0.0.0/24"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/24", "10.72.0.0/24"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/24"], gateways: ["10.72.0.1"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/24"], gateways: ["10.71.0.0"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/24"], gateways: ["10.71.0.255"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/24"], gateways: ["x"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/24"], gateways: ["10.71.0.1", "10.71.0.2"] }, "bad-address"],
      ["n", { subnets: ["10.71.0.0/24"], gateways: ["fd00::1"] }, "bad-address"],
      ["n", { mtu: 67 }, "bad-mtu"],
      ["n", { mtu: 1.5 }, "bad-mtu"],
      ["n", { mtu: 1000, ipv6: true }, "bad-mtu"],
    ];
    const before = await traces();
    for (const [name, options, code] of cases) {
      const what = `${name} ${JSON.stringify(options)}`;
      assert.equal(await codeOf(createNetwork(name, { ...world.folders, ...options })), code, what);
      assert.deepEqual(await traces(), before, what);
    }
    for (
      const [name, code] of [["never", "network-not-found"], ["../up", "bad-network"], ["none", "network-not-found"]]
    ) {
      assert.equal(await codeOf(removeNetwork(name ?? "", world.folders)), code);
    }
  } finally {
    await host("ip", "link", "delete", "office");
    await removeNetwork("taken", world.folders);
    await removeNetwork("n", world.folders).catch(() => {});
  }
});

Deno.test("network create: what makes no sense is refused by name, and nothing is made", async () => {
  await say(world, "true");
  const inputs: [options: RunOptions, code: string][] = [
    [{ network: "never" }, "network-not-found"],
    [{ network: ["bridge", "sauropod0"] }, "bad-network"],
    [{ network: ["none", "bridge"] }, "bad-network"],
    [{ network: ["bridge", "host"] }, "bad-network"],
    [{ network: "bridge:ipx=1" }, "bad-network"],
    [{ network: "a b" }, "bad-network"],
    [{ network: "" }, "bad-network"],
    [{ network: "container:" }, "bad-network"],
    [{ network: "host", publish: ["80"] }, "bad-network"],
    [{ network: "none", publishAll: true }, "bad-network"],
    [{ network: "none", netRate: 1e6 }, "bad-network"],
    [{ network: "host", containerAddress: "10.10.10.9" }, "bad-network"],
    [{ networkAliases: ["a b"] }, "bad-network"],
    [{ networkAliases: ["a\nb"] }, "bad-network"],
    [{ network: "bridge:alias=a#b" }, "bad-network"],
    ...[
      "0",
      "70000",
      "80-70",
      "a:b",
      "",
      ":",
      "80/sctp",
      "1.2.3:80:80",
      "1.2.3.4:80",
      "80-81:80",
      "1:2:3",
      "-1",
      "80:0",
      "[::1:80:80",
    ]
      .filter((publish) => publish !== "1.2.3.4:80")
      .map((publish): [RunOptions, string] => [{ publish: [publish] }, "bad-port"]),
    [{ expose: ["80:80"], publishAll: true }, "bad-port"],
    ...["10.10.10", "10.10.10.0", "10.10.10.255", "10.10.11.5", "10.10.10.5/16", "fd00::5", "x"]
      .map((containerAddress): [RunOptions, string] => [{ containerAddress }, "bad-address"]),
    [{ containerAddress: "10.10.10.1" }, "address-taken"],
    ...[
      "10.10.10.1",
      "10.10.10.0/24",
      "10.10.10.255/24",
      "10.10.10.1/33",
      "10.10.10.1/x",
      "fd00::1/64",
      "127.0.0.1/24",
      "10.20.0.1/31",
    ]
      .map((bridgeAddress): [RunOptions, string] => [{ bridgeAddress }, "bad-address"]),
    [{ netRate: 0 }, "bad-rate"],
    [{ netRate: NaN }, "bad-rate"],
    [{ netRate: 1e15 }, "bad-rate"],
    [{ dns: ["name"] }, "bad-dns"],
    [{ dnsSearch: ["a b"] }, "bad-dns"],
    [{ dnsOptions: ["a\nnameserver 192.0.2.1"] }, "bad-dns"],
    [{ addHosts: ["x"] }, "bad-host"],
    [{ addHosts: ["x:1.2.3"] }, "bad-host"],
    [{ addHosts: ["a b:1.2.3.4"] }, "bad-host"],
  ];
  const before = await traces();
  const wrong: unknown[] = [];
  for (const [options, code] of inputs) {
    const got = await codeOf(start(options));
    if (got !== code) wrong.push([options, `${got} and not ${code}`]);
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(await traces(), before);
});

Deno.test("network create: the command line says 125 and why", async () => {
  const lines: [words: string[], message: RegExp][] = [
    [["--network", "never"], /no such network: never/],
    [["--network", "none", "-p", "80"], /cannot combine --publish with --network none/],
    [["-p", "70000"], /70000/],
    [["--net-rate", "fast"], /--net-rate/],
    [["--net-rate", "1kbit"], /--net-rate|invalid network rate/],
    [["--container-addr", "10.10.10.1"], /10\.10\.10\.1: taken on/],
    [["--ip", "192.168.1.1"], /192\.168\.1\.1: not in subnet/],
    [["--bridge-addr", "x"], /--bridge-addr "x"/],
    [["--network-alias", "a b"], /"a b"/],
  ];
  await Promise.all(lines.map(async ([words, message]) => {
    const { code, stdout, stderr } = await world.cli(["--rm", ...words, "busybox", "true"]);
    assert.deepEqual([code, stdout], [125, ""], words.join(" "));
    assert.match(stderr, message);
  }));
  const { code, stderr } = await world.cli(["network", "rm", "never"]);
  assert.deepEqual([code, /no such network: never/.test(stderr)], [125, true]);
});

Deno.test("network create: addresses are the next that is free, or the one that is asked for if nobody has it", async () => {
  await createNetwork("tiny", { ...world.folders, subnets: ["10.70.0.0/29"] });
  try {
    const live = (options: RunOptions) => converse(world, "read line", { network: "tiny", ...options });
    await using stack = new AsyncDisposableStack();
    const addresses: (string | undefined)[] = [];
    for (const containerAddress of [undefined, "10.70.0.4", undefined, "10.70.0.5/29", undefined]) {
      const { container } = stack.use(await live({ containerAddress }));
      addresses.push(container.networks[0]?.addresses[0]);
    }
    assert.deepEqual(addresses, [2, 4, 3, 5, 6].map((n) => `10.70.0.${n}/29`));
    const before = files(world.folders.containers);
    assert.equal(await codeOf(live({})), "network-full");
    assert.equal(await codeOf(live({ containerAddress: "10.70.0.4" })), "address-taken");
    assert.deepEqual(files(world.folders.containers), before);
  } finally {
    await removeNetwork("tiny", world.folders);
  }
});

Deno.test("network create: an address that a container has just left is free for the next", async () => {
  for (let i = 0; i < 100; i++) {
    const box = await run("busybox", ["true"], { ...world.folders, containerAddress: "10.10.10.50" });
    await box.status;
  }
});

Deno.test("network create: nobody gets the address of a living container that has lost its interface: its ports lead there", async () => {
  const options = { privileged: true, publish: ["8099:80"] };
  await using lost = await converse(world, "ip link del eth0; echo lost; read line", options);
  assert.equal(await lost.ask(), "lost");
  await using other = await converse(world, "read line");
  const [mine, others] = [lost, other].map(({ container }) => container.networks[0]?.addresses[0]);
  assert.notEqual(mine, others);
  const containerAddress = mine?.replace(/\/.*/, "");
  assert.equal(await codeOf(start({ containerAddress })), "address-taken");
});

Deno.test("network create: an IPv6 address is neither the host's nor outside of a small subnet", async () => {
  const subnets = ["10.70.0.0/24", "fd70::/125"];
  await createNetwork("odd", { ...world.folders, subnets, gateways: ["10.70.0.1", "fd70::2"] });
  try {
    await using first = await converse(world, "read line", { network: "odd" });
    assert.deepEqual(first.container.networks[0]?.addresses, ["10.70.0.3/24", "fd70::3/125"]);
    for (const containerAddress of ["10.70.0.2", "10.70.0.8"]) {
      assert.equal(await codeOf(start({ network: "odd", containerAddress })), "address-taken");
    }
  } finally {
    await removeNetwork("odd", world.folders);
  }
});

Deno.test("the smallest network has room for one", async () => {
  await createNetwork("one", { ...world.folders, subnets: ["10.70.0.0/30"] });
  try {
    await using box = await converse(world, "read line", { network: "one" });
    assert.equal(box.container.networks[0]?.addresses[0], "10.70.0.2/30");
    assert.equal(await codeOf(start({ network: "one" })), "network-full");
  } finally {
    await removeNetwork("one", world.folders);
  }
});

Deno.test("--bridge-addr moves the default network, and the rules with it", async () => {
  try {
    const gateway = async (options: RunOptions): Promise<string> =>
      (await say(world, "ip route | grep ^default; hostname -i", { ...options, hostname: "own" })).trim();
    assert.match(await gateway({ bridgeAddress: "10.20.0.7/16" }), /via 10\.20\.0\.7 dev eth0/);
    assert.match(await gateway({}), /via 10\.20\.0\.7 dev eth0/);
    const addresses = await host("ip", "-o", "-4", "address", "show", "dev", "sauropod0");
    assert.deepEqual(addresses.match(/inet \S+/g), ["inet 10.20.0.7/16"]);
    assert.match(await ruleset(), /10\.20\.0\.0\/16/);
    assert.doesNotMatch(await ruleset(), /10\.10\.10\.0\/24/);
    assert.match(await gateway({ bridgeAddress: "10.20.0.7/24" }), /via 10\.20\.0\.7 dev eth0/);
    assert.deepEqual(
      (await host("ip", "-o", "-4", "address", "show", "dev", "sauropod0")).match(/inet \S+/g),
      ["inet 10.20.0.7/24"],
    );
  } finally {
    await awaitQuiet();
    await start({ bridgeAddress: "10.10.10.1/24" });
  }
});

Deno.test("--bridge-addr does not move the default network under those who use it", async () => {
  await using _user = await converse(world, "read line");
  for (const bridgeAddress of ["10.20.0.7/16", "10.10.10.1/25", "10.10.10.9/24"]) {
    assert.equal(await codeOf(start({ bridgeAddress })), "network-in-use");
  }
  await start({ bridgeAddress: "10.10.10.1/24" });
  const addresses = await host("ip", "-o", "-4", "address", "show", "dev", "sauropod0");
  assert.deepEqual(addresses.match(/inet \S+/g), ["inet 10.10.10.1/24"]);
});

Deno.test("network create: a subnet that the host needs is refused, and a free one named", async () => {
  await awaitQuiet();
  await removeNetwork("bridge", world.folders);
  await host("ip", "link", "add", "office", "type", "bridge");
  await host("ip", "address", "add", "10.10.0.9/16", "dev", "office");
  await host("ip", "link", "set", "office", "up");
  try {
    const error = await start({}).catch((error) => error);
    assert.ok(error instanceof NetworkError);
    assert.equal(error.code, "subnet-taken");
    assert.match(error.message, /10\.10\.10\.0\/24.*10\.10\.0\.0\/16/);
    assert.match(error.hint ?? "", /use a free one: --bridge-addr 10\.11\.0\.1\/24/);
    assert.doesNotMatch(Deno.readTextFileSync("/proc/net/dev"), /sauropod0/);
    assert.equal(await ruleset(), "");
    await start({ bridgeAddress: "10.11.0.1/24" });
    await start({});
  } finally {
    await awaitQuiet();
    await removeNetwork("bridge", world.folders);
    await host("ip", "link", "delete", "office");
  }
});

Deno.test("explain shows the network's steps and makes none of them", async () => {
  await awaitQuiet();
  await removeNetwork("bridge", world.folders).catch(() => {});
  const before = await traces();
  const { code, stdout, stderr } = await world.cli(["explain", "-p", "8000:80", "busybox", "true"]);
  assert.deepEqual([code, stderr], [0, ""]);
  for (const step of [/10\.10\.10\.2\/24/, /veth0a0a0a02/, /10\.10\.10\.1\b/, /\/etc\/hosts/]) {
    assert.match(stdout, step);
  }
  assert.deepEqual(await traces(), before);
});

Deno.test("a network is set up again when its bridge is gone, as after a boot, and its rules when somebody flushed them", async () => {
  const { bridge } = await createNetwork("lasting", { ...world.folders, subnets: ["10.70.0.0/24", "fd70::/64"] });
  try {
    const whole = await ruleset();
    for (const harm of [["ip", "link", "delete", bridge], ["nft", "flush", "ruleset"]]) {
      const [program = "", ...args] = harm;
      await host(program, ...args);
      assert.match(await say(world, "ip -o -4 address", { network: "lasting" }), /10\.70\.0\.\d+\/24/);
      assert.equal(await ruleset(), whole, harm.join(" "));
    }
    const [, found] = await listNetworks(world.folders);
    assert.deepEqual([found?.name, found?.up], ["lasting", true]);
  } finally {
    await awaitQuiet();
    await removeNetwork("lasting", world.folders);
  }
});

Deno.test("a damaged definition is an error that names the file, and hurts no other network", async () => {
  const path = `${world.folders.containers}/.networks/broken.json`;
  Deno.mkdirSync(`${world.folders.containers}/.networks`, { recursive: true });
  for (const text of ["", "{", "[]", '{"name":"broken","bridge":"x","subnets":[{}],"internal":false}', "null"]) {
    Deno.writeTextFileSync(path, text);
    const error = await start({ network: "broken" }).catch((error) => error);
    assert.ok(error instanceof SauropodError, `${text}: ${error}`);
    assert.match(error.message, /broken/);
    await start({});
  }
  Deno.removeSync(path);
});
