/**
 * `deno task bench:network`: Sauropod's bridged network beside its peers', in alternating rounds. It changes networks:
 * run it in namespaces of its own, below tests/tools/apart.sh, as the task does.
 *
 * @module
 */

import { run } from "../mod.ts";
import { makeImage } from "./image.ts";
import { type Contender, type Goal, judge, machine, measure, report, timed } from "./measure.ts";
import { bridgedPeers, command, openDocker, openPodman, watchLeftovers } from "./peers.ts";
import { packed } from "./sauropod.ts";
import { addIperf, serveByHand, serveHere, serveInDocker, type Server, throughputs } from "./throughput.ts";

const OWN_ROUNDS = 150, PEER_ROUNDS = 25, TCP_ROUNDS = 25, PORT_ROUNDS = 9;
const OWN = "run()", HOST = "run(), network: host", COMMAND = "sauropod --rm", BY_HAND = "bridge made by hand";
const DOCKER = "docker run --rm";

if (Deno.networkInterfaces().some(({ name }) => name !== "lo")) {
  throw new Error("this would change the machine's network: tests/tools/apart.sh deno run -A bench/network.ts");
}

const home = Deno.makeTempDirSync({ prefix: "sauropod-bench-" });
const memory = Deno.makeTempDirSync({ prefix: "sauropod-bench-", dir: "/dev/shm" });
const sauropod = await packed(`${home}/packed`);
const tidy = watchLeftovers();
const images = `${home}/images`, rootfs = `${images}/bench`;

function launch(name: string, network?: string, containers = `${home}/containers`): Contender {
  const options = { images, containers, network, stdin: "null", stdout: "null", stderr: "null" } as const;
  return { name, once: () => timed(async () => await (await run("bench", ["/bin/true"], options)).status) };
}

async function compare(
  title: string,
  unit: string,
  rounds: number,
  contenders: readonly Contender[],
  goals: readonly Goal[] = [],
): Promise<void> {
  const measured = await measure(contenders, rounds);
  console.log(report(title, unit, measured) + judge(measured, goals));
}

async function compareLaunches(peers: readonly Contender[]): Promise<void> {
  const goals = [{ of: [OWN, HOST], most: 3 }] as const;
  for (const [where, containers] of [["memory", `${memory}/containers`], ["disk", `${home}/containers`]] as const) {
    const own = [
      launch(OWN, undefined, containers),
      launch("run(), network: none", "none", containers),
      launch(HOST, "host", containers),
    ];
    await compare(`Launch of /bin/true from a script, containers on ${where}`, "ms", OWN_ROUNDS, own, goals);
  }
  const cli = [...sauropod, "-i", images, "-c", `${home}/containers`, "--rm", "bench"];
  const all = [command(COMMAND, [...cli, "/bin/true"]), launch(OWN), ...peers];
  await compare("Launch of /bin/true on the default bridge", "ms", PEER_ROUNDS, all, [
    { of: [OWN, DOCKER], most: 0.03 },
    { of: [COMMAND, DOCKER], most: 0.12 },
  ]);
}

async function compareThroughput(servers: readonly Server[]): Promise<void> {
  const goals = [{ of: ["sauropod", BY_HAND], least: 0.97 }] as const;
  for (const reverse of [false, true]) {
    const across = (there: string): string => reverse ? `container to ${there}` : `${there} to container`;
    const show = (title: string, contenders: Contender[], goals: readonly Goal[] = []) =>
      compare(`TCP, ${title}`, "Gbit/s", goals.length > 0 ? TCP_ROUNDS : PORT_ROUNDS, contenders, goals);
    await show(across("host"), throughputs(servers, ({ host }) => host, ({ address }) => address, reverse), goals);
    for (const [i, address] of [[0, "the host's own address"], [1, "127.0.0.1"]] as const) {
      const local = throughputs(servers, ({ host }) => host, ({ published }) => published[i], reverse);
      await show(`${across("host")} by a port published on ${address}`, local);
    }
    const remote = throughputs(
      servers,
      ({ remote }) => remote,
      ({ published, address }) => published[0] ?? address,
      reverse,
    );
    await show(`${across("another machine")} by a published port (by hand: routed)`, remote);
  }
}

makeImage(rootfs);
await addIperf(rootfs);
const docker = await openDocker(`${home}/docker`, rootfs);
const podman = await openPodman(`${home}/podman`);
const servers: Server[] = [];
try {
  console.log(machine());
  await compareLaunches(await bridgedPeers(rootfs, docker, podman));
  servers.push(await serveHere(`${home}/here`, "bench", { images, containers: `${home}/containers` }));
  servers.push(await serveByHand(`${home}/by-hand`));
  if (docker) servers.push(await serveInDocker(`${home}/in-docker`, docker));
  await compareThroughput(servers);
} finally {
  for (const server of servers) await server.close();
  await docker?.room.close();
  await podman?.room.close();
  await tidy();
  for (const folder of [home, memory]) await Deno.remove(folder, { recursive: true });
}
