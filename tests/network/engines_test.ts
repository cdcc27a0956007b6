import assert from "node:assert/strict";
import { createNetwork, removeNetwork } from "../../mod.ts";
import { host, until } from "../helpers/inside.ts";
import {
  assertApart,
  HERE,
  inhabit,
  type Inhabitant,
  type Outsider,
  type Peer,
  REMOTE,
  ruleset,
  settleElsewhere,
  settleOn,
} from "../helpers/network.ts";
import { makeWorld } from "../helpers/world.ts";
import { skipWithout } from "../helpers/skip.ts";

assertApart();
const world = makeWorld();
const scene = new AsyncDisposableStack();
let docked: Outsider, machine: Outsider, a: Inhabitant, b: Inhabitant;

const DOCKER = ["docker", "--host", `unix://${world.home}/docker.sock`] as const;
/** What is on docker's bridge, and on a bridge of virtual machines. */
const DOCKED = "172.17.0.9", MACHINE = "192.168.122.9";
const hasDocker = await host("sh", "-c", "command -v dockerd docker iptables").then(() => true, () => false);

/** Starts docker's daemon beside Sauropod, in this network namespace. It has a /run of its own. */
async function startDocker(): Promise<void> {
  const folder = `${world.home}/docker`;
  const daemon = ["dockerd", "--data-root", `${folder}/data`, "--exec-root", `${folder}/exec`, "--pidfile"];
  const apart = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "--"];
  const script = 'mkdir -p "$1"; mount -t tmpfs docker /run; mount -t tmpfs docker "$1"; shift; exec "$@"';
  const child = new Deno.Command("unshare", {
    args: [...apart, "sh", "-ec", script, "sh", folder, ...daemon, `${folder}/pid`, "--host", DOCKER[2]],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  scene.defer(async () => {
    child.kill("SIGKILL");
    await child.status;
    for (const table of ["filter", "nat"]) await host("nft", "delete", "table", "ip", table);
    await host("ip", "link", "delete", "docker0");
  });
  await until("dockerd answers", () => host(...DOCKER, "version").then(() => true, () => false));
}

Deno.test.beforeAll(async () => {
  scene.use(await settleElsewhere());
  await host("ip", "link", "add", "virbr9", "type", "bridge");
  scene.defer(async () => void await host("ip", "link", "delete", "virbr9"));
  machine = scene.use(await settleOn("virbr9", "machine", MACHINE, "192.168.122.1"));
  if (hasDocker) {
    await startDocker();
    // As docker does it if it is the first that lets the host forward.
    await host("iptables", "-P", "FORWARD", "DROP");
    docked = scene.use(await settleOn("docker0", "docked", DOCKED, "172.17.0.1"));
  }
  a = scene.use(await inhabit(world, "a", { publish: ["8000:7000", "8000:7000/udp"] }));
  b = scene.use(await inhabit(world, "b"));
});
Deno.test.afterAll(async () => {
  await scene.disposeAsync();
  await world[Symbol.asyncDispose]();
});

const PROTOCOLS = ["tcp", "udp"] as const;

/** Asks everything at once, over TCP and UDP. */
async function check(questions: readonly (readonly [from: Peer, address: string, answer: string, port?: number])[]) {
  const seen = await Promise.all(
    PROTOCOLS.flatMap((protocol) => questions.map(([from, address, , port]) => from.ask(protocol, address, port))),
  );
  assert.deepEqual(seen, PROTOCOLS.flatMap(() => questions.map(([, , answer]) => answer)));
}

Deno.test("run --network: a container does not reach what is on another engine's bridge, nor is it reached from there", async () => {
  await check([
    [a, MACHINE, "nothing"],
    [machine, a.address, "nothing"],
    [machine, HERE, `a from ${MACHINE}`, 8000],
    [a, REMOTE, `remote from ${HERE}`],
  ]);
});

Deno.test({
  name:
    "run --network: a container does not reach the unpublished port of a docker container, but those that are published",
  ignore: skipWithout("docker.io or iptables", hasDocker),
  async fn() {
    // As docker run -p 8088:7000 does it.
    const rules = PROTOCOLS.flatMap((protocol) => [
      [
        "nat",
        "DOCKER",
        "!",
        "-i",
        "docker0",
        "-p",
        protocol,
        "--dport",
        "8088",
        "-j",
        "DNAT",
        "--to",
        `${DOCKED}:7000`,
      ],
      [
        "filter",
        "DOCKER",
        "!",
        "-i",
        "docker0",
        "-o",
        "docker0",
        "-p",
        protocol,
        "-d",
        DOCKED,
        "--dport",
        "7000",
        "-j",
      ],
    ]);
    await check([
      [a, DOCKED, "nothing"],
      [b, DOCKED, "nothing"],
      [docked, b.address, "nothing"],
      // Docker masquerades.
      [docked, HERE, "a from 10.10.10.1", 8000],
    ]);
    for (const [table = "", ...words] of rules) {
      await host("iptables", "-t", table, "-A", ...words, ...(table === "filter" ? ["ACCEPT"] : []));
    }
    await check([
      [b, HERE, "docked from 172.17.0.1", 8088],
      [b, REMOTE, `remote from ${HERE}`],
      [docked, REMOTE, `remote from ${HERE}`],
    ]);
  },
});

Deno.test({
  name: "an administrator's rule in DOCKER-USER holds for containers, and rules stay behind docker's when it adds some",
  ignore: skipWithout("docker.io or iptables", hasDocker),
  async fn() {
    const forward = async (): Promise<string[]> => (await host("iptables", "-S", "FORWARD")).trim().split("\n");
    assert.match((await forward())[1] ?? "", /-j DOCKER-USER$/);
    for (const line of (await forward()).slice(-2)) assert.match(line, /^-A FORWARD -[io] sauropod0 .* -j ACCEPT$/);
    await host("iptables", "-I", "DOCKER-USER", "-d", REMOTE, "-j", "DROP");
    assert.equal(await b.ask("tcp", REMOTE), "nothing");
    await host("iptables", "-D", "DOCKER-USER", "-d", REMOTE, "-j", "DROP");
    await host("iptables", "-A", "FORWARD", "-d", REMOTE, "-j", "DROP");
    assert.equal(await b.ask("tcp", REMOTE), `remote from ${HERE}`);
    await createNetwork("late", world.folders);
    await using c = await inhabit(world, "c", { network: ["late", "bridge"] });
    for (const one of [b, c]) assert.equal(await one.ask("tcp", REMOTE), "nothing");
    await host("iptables", "-D", "FORWARD", "-d", REMOTE, "-j", "DROP");
    await host(...DOCKER, "network", "create", "more");
    for (const one of [b, c]) assert.equal(await one.ask("tcp", REMOTE), `remote from ${HERE}`);
    assert.match(
      (await host("iptables", "-S", "FORWARD")).trim(),
      /(-A FORWARD -[io] \S+ -m comment .*-j ACCEPT\n?){4}$/,
    );
    await host(...DOCKER, "network", "rm", "more");
    await c.container.kill();
    await c.container.status;
    await removeNetwork("late", world.folders);
    assert.equal((await ruleset()).match(/comment "sauropod sauropod0"/g)?.length, 2);
  },
});

Deno.test("run --network: a bridge by which the host itself reaches others leads outside, also one that came later", async () => {
  const script = (text: string): Promise<string> => host("sh", "-ec", text);
  await script(`ip link add br-lan type bridge && ip link set uplink master br-lan
    ip address del ${HERE}/24 dev uplink && ip address add ${HERE}/24 dev br-lan
    ip link set br-lan up && ip route add default via ${REMOTE}`);
  try {
    await using c = await inhabit(world, "c");
    await check([[a, REMOTE, `remote from ${HERE}`], [c, REMOTE, `remote from ${HERE}`], [c, MACHINE, "nothing"]]);
  } finally {
    await script(`ip link delete br-lan; ip address add ${HERE}/24 dev uplink; ip route add default via ${REMOTE}`);
  }
});
