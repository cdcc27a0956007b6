/**
 * `deno task bench:images`: pulling and unpacking images from a registry on the loopback, beside the peers. Everything
 * is in memory, and each run is into a place where nothing has been removed before. Run it below tests/tools/apart.sh,
 * as the task does.
 *
 * @module
 */

import { loadImages } from "../lib/image/exchange/load.ts";
import { pushImage } from "../lib/image/push.ts";
import { pullImage } from "../mod.ts";
import { formatSize } from "../lib/text/size.ts";
import { makeImage, makeLayers, makeLayout } from "./image.ts";
import { type Contender, type Goal, judge, machine, measure, peakMemory, report, timed } from "./measure.ts";
import { openDocker, type Peer, runCommand, watchLeftovers, workingOnes } from "./peers.ts";
import { serveRegistry } from "./registry.ts";
import { packed } from "./sauropod.ts";

const LARGE_ROUNDS = 5, SMALL_ROUNDS = 9, FILES = 50_000, LAYERS = 4;
const SAUROPOD = "sauropod images pull", DOCKER = "docker pull", PODMAN = "podman pull";
const UMOCI = "skopeo copy, umoci unpack", TAR = "tar xzf of each layer";
const SCRIPT = "pullImage() from a script", PEERS = [DOCKER, PODMAN, UMOCI];
// Of a small image's command most is Deno's own start.
const SMALL_GOALS = PEERS.map((peer): Goal => ({ of: [SCRIPT, peer], most: 0.5 }));
const LARGE_GOALS: readonly Goal[] = [
  ...PEERS.map((peer): Goal => ({ of: [SAUROPOD, peer], most: 0.5 })),
  { of: [SAUROPOD, TAR], most: 1.2 },
];
const MOST_MEMORY = 200 * 2 ** 20;

const home = Deno.makeTempDirSync({ prefix: "sauropod-bench-", dir: "/dev/shm" });
const sauropod = await packed(`${home}/packed`);
let peak = 0;

/** Pulls with Sauropod, and takes note of the memory used. */
async function pull(name: string, images: string): Promise<void> {
  const words = [...sauropod, "images", "pull", "-q", "--images", images, name];
  peak = Math.max(peak, 1024 * await peakMemory(words));
}

/** A contender that works in a folder of its own, which is removed outside of what is measured. */
function fresh(name: string, work: (folder: string) => Promise<void>): Contender {
  return {
    name,
    async once() {
      const folder = await Deno.makeTempDir({ dir: home });
      const time = await timed(() => work(folder));
      await runCommand(["rm", "-rf", folder]);
      return time / 1000;
    },
  };
}

function dockerPull({ words }: Peer, name: string): Contender {
  return {
    name: DOCKER,
    async once() {
      const time = await timed(() => runCommand([...words, "pull", "-q", name]));
      await runCommand([...words, "image", "rm", "--force", name]);
      return time / 1000;
    },
  };
}

function contendersFor(name: string, layers: readonly string[], docker?: Peer): Contender[] {
  const podman = ["--events-backend", "none", "--cgroup-manager", "cgroupfs"];
  return [
    fresh(SAUROPOD, (folder) => pull(name, folder)),
    fresh(SCRIPT, async (folder) => void await pullImage(name, { images: folder })),
    ...(docker ? [dockerPull(docker, name)] : []),
    fresh(PODMAN, (folder) =>
      runCommand([
        ...["podman", "--root", `${folder}/root`, "--runroot", "/run/sauropod/podman", ...podman],
        ...["pull", "-q", "--tls-verify=false", name],
      ])),
    fresh(UMOCI, async (folder) => {
      const copy = `oci:${folder}/oci:image`;
      await runCommand(["skopeo", "copy", "-q", "--src-tls-verify=false", `docker://${name}`, copy]);
      await runCommand(["umoci", "unpack", "--image", `${folder}/oci:image`, `${folder}/bundle`]);
    }),
    fresh(
      TAR,
      (folder) => runCommand(["sh", "-ec", `for layer in ${layers.join(" ")}; do tar xzf $layer -C ${folder}; done`]),
    ),
  ];
}

/** Puts an image of these layers into the registry. */
async function provide(name: string, layers: readonly string[]): Promise<string> {
  const layout = await Deno.makeTempDir({ dir: home }), images = await Deno.makeTempDir({ dir: home });
  await makeLayout(layout, name, layers);
  await loadImages(images, layout);
  await pushImage(name, images);
  for (const folder of [layout, images]) await Deno.remove(folder, { recursive: true });
  const sizes = await Promise.all(layers.map(async (path) => (await Deno.stat(path)).size));
  return `${layers.length} layers, ${formatSize(sizes.reduce((sum, size) => sum + size, 0))} compressed`;
}

async function compare(
  what: string,
  name: string,
  layers: readonly string[],
  rounds: number,
  goals: readonly Goal[],
  docker?: Peer,
): Promise<void> {
  const size = await provide(name, layers);
  const measured = await measure(await workingOnes(contendersFor(name, layers, docker)), rounds);
  console.log(report(`Pull and unpack of ${what}: ${size}`, "s", measured) + judge(measured, goals));
}

const tidy = watchLeftovers();
const registry = await serveRegistry(`${home}/registry`);
makeImage(`${home}/rootfs`);
const docker = await openDocker(`${home}/docker`, `${home}/rootfs`);
try {
  // Docker is in a room with a loopback of its own.
  if (docker) await registry.serveAlso(docker.room);
  console.log(machine());
  const small = `${home}/small.tar.gz`;
  await runCommand(["tar", "-czf", small, "-C", `${home}/rootfs`, "."]);
  await compare("a small image", `${registry.address}/small:1`, [small], SMALL_ROUNDS, SMALL_GOALS, docker);
  peak = 0;
  const layers = await makeLayers(`${home}/layers`, LAYERS, FILES);
  await compare(`${FILES} files`, `${registry.address}/large:1`, layers, LARGE_ROUNDS, LARGE_GOALS, docker);
  const verdict = peak <= MOST_MEMORY ? "met" : "MISSED";
  console.log(
    `  ${SAUROPOD}, memory at its peak: ${formatSize(peak)}, at most ${formatSize(MOST_MEMORY)}: ${verdict}\n`,
  );
} finally {
  await registry.close();
  await docker?.room.close();
  await tidy();
  await Deno.remove(home, { recursive: true });
}
