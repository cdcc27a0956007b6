/**
 * `deno task bench:life`: more commands in running containers, what an idle one costs in memory, and forks, beside peers,
 * in alternating rounds. Run it below tests/tools/apart.sh, as the task does.
 *
 * @module
 */

import { exec, fork, remove, run, runDetached, stop } from "../mod.ts";
import { makeImage } from "./image.ts";
import { type Contender, type Goal, judge, machine, measure, report, timed } from "./measure.ts";
import { command, openDocker, openPodman, type Peer, runCommand, watchLeftovers } from "./peers.ts";
import { packed } from "./sauropod.ts";

const EXEC_ROUNDS = 40, FORK_ROUNDS = 7, IDLE = 10;
const OWN = "exec()", COMMAND = "sauropod exec", DOCKER = "docker exec";
const FORK = "fork() of a stopped container", FORK_RUNNING = "fork() of a running container";
const COMMIT = "docker commit and run";
const SLEEP = ["sleep", "1000"];
const CHANGE = "dd if=/dev/urandom of=/changed bs=1M count=200 2>/dev/null";

const home = Deno.makeTempDirSync({ prefix: "sauropod-bench-" });
const memory = Deno.makeTempDirSync({ prefix: "sauropod-bench-", dir: "/dev/shm" });
const sauropod = await packed(`${home}/packed`);
const tidy = watchLeftovers();
const rootfs = `${home}/images/bench`;
const folders = { images: `${home}/images`, containers: `${home}/containers` };
const QUIET = { network: "none", stdin: "null", stdout: "null", stderr: "null" } as const;

async function compare(
  title: string,
  unit: string,
  rounds: number,
  contenders: readonly Contender[],
  goals: readonly Goal[],
): Promise<void> {
  const measured = await measure(contenders, rounds);
  console.log(report(title, unit, measured) + judge(measured, goals));
}

/** Starts an idle container of a peer's. */
async function idle({ words }: Peer, image: readonly string[], name: string): Promise<void> {
  await runCommand([...words, "run", "-d", "--network", "none", "--name", name, ...image, ...SLEEP]);
}

const ULIMITS = ["--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1024:2048"];
const PODMAN_IMAGE = [...ULIMITS, "--rootfs", rootfs], DOCKER_IMAGE = ["bench"];

async function compareExec(docker: Peer | undefined, podman: Peer | undefined): Promise<void> {
  const id = await runDetached("bench", SLEEP, { ...folders, network: "none" });
  const cli = [...sauropod, "exec", "-c", folders.containers, id];
  const contenders: Contender[] = [
    command(COMMAND, [...cli, "/bin/true"]),
    { name: OWN, once: () => timed(async () => (await exec(id, ["/bin/true"], { ...folders, ...QUIET })).status) },
  ];
  if (docker) {
    await idle(docker, DOCKER_IMAGE, "exec");
    contenders.push(command(DOCKER, [...docker.words, "exec", "exec", "/bin/true"]));
  }
  if (podman) {
    await idle(podman, PODMAN_IMAGE, "exec");
    contenders.push(command("podman exec", [...podman.words, "exec", "exec", "/bin/true"]));
  }
  await compare("One more command, /bin/true, in a running container", "ms", EXEC_ROUNDS, contenders, [
    { of: [COMMAND, DOCKER], most: 0.4 },
    { of: [OWN, DOCKER], most: 0.03 },
  ]);
  await remove(id, { ...folders, force: true });
  if (docker) await runCommand([...docker.words, "rm", "-f", "exec"]);
  if (podman) await runCommand([...podman.words, "rm", "-f", "-t", "0", "exec"]);
}

/** The proportional set size, in KiB, of all processes whose name begins with `name`, by their number. */
function sizes(name: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const { name: pid } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const [program = ""] = Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
      if (!program.slice(program.lastIndexOf("/") + 1).startsWith(name)) continue;
      const text = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
      found.set(pid, Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? NaN));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** What each of ten idle containers costs beside itself. */
async function perIdle(name: string, make: (i: number) => Promise<unknown>): Promise<number> {
  const before = sizes(name);
  for (let i = 0; i < IDLE; i++) await make(i);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const added = [...sizes(name)].filter(([pid]) => !before.has(pid)).map(([, size]) => size);
  return added.reduce((sum, size) => sum + size, 0) / IDLE;
}

async function compareMemory(docker: Peer | undefined, podman: Peer | undefined): Promise<void> {
  const options = { ...folders, network: "none" };
  const ids: string[] = [];
  const own = await perIdle("sauropod-", async () => ids.push(await runDetached("bench", SLEEP, options)));
  for (const id of ids) await remove(id, { ...folders, force: true });
  const lines = [["sauropod-monitor", own]] as [string, number][];
  if (podman) {
    lines.push(["conmon", await perIdle("conmon", (i) => idle(podman, PODMAN_IMAGE, `idle${i}`))]);
    await runCommand([...podman.words, "rm", "-f", "-t", "0", "-a"]);
  }
  if (docker) {
    lines.push(["containerd-shim", await perIdle("containerd-shim", (i) => idle(docker, DOCKER_IMAGE, `idle${i}`))]);
    for (let i = 0; i < IDLE; i++) await runCommand([...docker.words, "rm", "-f", `idle${i}`]);
  }
  console.log("Memory of an idle detached container beside its own processes (KiB, PSS, one of ten)");
  for (const [name, size] of lines) {
    console.log(`  ${name.padEnd(34)} ${size.toFixed(0).padStart(9)} ${"".padStart(9)} ${(own / size).toFixed(3)}x`);
  }
  const conmon = lines.find(([name]) => name === "conmon")?.[1];
  const verdict = conmon === undefined ? "not measured" : own / conmon <= 0.1 ? "met" : "MISSED";
  console.log(`  goal: at most 0.1x conmon: ${verdict}\n`);
}

/** Runs /bin/true in a fork of a container that has just changed 200 MB. */
function forkOwn(name: string, running: boolean, containers: string): Contender {
  const where = { images: folders.images, containers };
  return {
    name,
    async once(): Promise<number> {
      const id = await runDetached("bench", SLEEP, { ...where, network: "none", keep: true });
      try {
        await (await exec(id, ["sh", "-c", CHANGE], { ...where, ...QUIET })).status;
        if (!running) await stop(id, { ...where, timeout: 0 });
        return await timed(async () => (await fork(id, ["/bin/true"], { ...where, ...QUIET })).status);
      } finally {
        await remove(id, { ...where, force: true });
      }
    },
  };
}

/** A file system that can share blocks; undefined if none can be made here. It goes with this mount namespace. */
async function makeXfs(): Promise<string | undefined> {
  const disk = `${memory}/disk`, place = `${memory}/xfs`;
  const script =
    `truncate -s 2g ${disk}; mkfs.xfs -q -m reflink=1 ${disk}; mkdir ${place}; mount -o loop ${disk} ${place}`;
  return await runCommand(["sh", "-ec", script]).then(() => place, (error) => {
    console.error(`left out: XFS: ${error instanceof Error ? error.message.trim() : error}`);
    return undefined;
  });
}

async function compareForks(docker: Peer | undefined, xfs: string | undefined): Promise<void> {
  const contenders = [
    forkOwn(FORK, false, folders.containers),
    forkOwn(FORK_RUNNING, true, folders.containers),
    forkOwn(`${FORK_RUNNING}, in memory`, true, `${memory}/containers`),
    ...(xfs === undefined ? [] : [forkOwn(`${FORK_RUNNING}, on XFS`, true, `${xfs}/containers`)]),
  ];
  if (docker) {
    await idle(docker, DOCKER_IMAGE, "forked");
    contenders.push({
      name: COMMIT,
      async once(): Promise<number> {
        await runCommand([...docker.words, "exec", "forked", "sh", "-c", CHANGE]);
        const taken = await timed(async () => {
          await runCommand([...docker.words, "commit", "forked", "fork"]);
          await runCommand([...docker.words, "run", "--rm", "--network", "none", "fork", "/bin/true"]);
        });
        await runCommand([...docker.words, "rmi", "fork"]);
        return taken;
      },
    });
  }
  await compare("/bin/true in a fork of a container with 200 MB changed", "ms", FORK_ROUNDS, contenders, [
    { of: [FORK, COMMIT], most: 0.01 },
    { of: [FORK_RUNNING, COMMIT], most: 0.01 },
  ]);
}

makeImage(rootfs);
// The first run in a process loads what the others have.
await (await run("bench", ["/bin/true"], { ...folders, ...QUIET })).status;
const docker = await openDocker(`${home}/docker`, rootfs);
const podman = await openPodman(`${home}/podman`);
try {
  console.log(machine());
  await compareExec(docker, podman);
  await compareMemory(docker, podman);
  const xfs = await makeXfs();
  await compareForks(docker, xfs);
  if (xfs !== undefined) await runCommand(["umount", xfs]);
} finally {
  await docker?.room.close();
  await podman?.room.close();
  await tidy();
  for (const folder of [home, memory]) await Deno.remove(folder, { recursive: true });
}
