/**
 * The peers that Sauropod is measured beside, as far as they are installed. They work in a folder of the bench's own.
 *
 * @module
 */

import type { Contender } from "./measure.ts";
import { timed } from "./measure.ts";
import { openRoom, type Room } from "./room.ts";

/** A command that is run to its end; throws if it fails. */
export async function runCommand(words: readonly string[], cwd?: string): Promise<void> {
  const [program = "", ...args] = words;
  const { success, stderr } = await new Deno.Command(program, {
    args,
    cwd,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  })
    .output();
  if (!success) throw new Error(`${words.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** A contender that runs a command. */
export function command(name: string, words: readonly string[], cwd?: string): Contender {
  return { name, once: () => timed(() => runCommand(words, cwd)) };
}

function leaveOut(what: string, error: unknown): undefined {
  const why = error instanceof Error ? error.message.trim().split("\n").at(-1) : error;
  console.error(`left out: ${what}: ${why}`);
}

/** Those contenders that can do their work here; why another cannot is printed. */
export async function workingOnes(contenders: readonly Contender[]): Promise<Contender[]> {
  const working: Contender[] = [];
  for (const contender of contenders) {
    const value = await contender.once().catch((error) => leaveOut(contender.name, error));
    if (value !== undefined) working.push(contender);
  }
  return working;
}

/** A peer with networks, in a room of its own. */
export interface Peer {
  /** Its room. */
  readonly room: Room;
  /** The beginning of its commands. */
  readonly words: readonly string[];
}

const CGROUP = "sauropod-bench";
const LIMITS = ["--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1024:2048"];
const START_MS = 30_000;

/** Docker, with a daemon in a room of its own and `rootfs` as the image `bench`; undefined if it does not work here. */
export async function openDocker(folder: string, rootfs: string): Promise<Peer | undefined> {
  const socket = `unix://${folder}/socket`;
  const words = ["docker", "--config", `${folder}/config`, "--host", socket];
  let room: Room | undefined;
  try {
    room = await openRoom(folder, [
      ...["dockerd", "--data-root", `${folder}/data`, "--exec-root", `${folder}/exec`, "--pidfile", `${folder}/pid`],
      ...["--host", socket, "--cgroup-parent", `/${CGROUP}`, "--default-ulimit", "nofile=1024:2048"],
    ]);
    const deadline = performance.now() + START_MS;
    while (!await runCommand([...words, "version"]).then(() => true, () => false)) {
      if (performance.now() > deadline) throw new Error(`dockerd does not answer, see ${folder}/log`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await runCommand(["tar", "-C", rootfs, "-cf", `${folder}/bench.tar`, "."]);
    await runCommand([...words, "import", `${folder}/bench.tar`, "bench"]);
    return { room, words };
  } catch (error) {
    await room?.close();
    return leaveOut("docker", error);
  }
}

function podmanWords(root: string, runroot: string): string[] {
  return [
    ...["podman", "--root", root, "--runroot", runroot, "--cgroup-manager", "cgroupfs"],
    ...["--runtime", "runc", "--events-backend", "none"],
  ];
}

/** Podman in a room of its own; undefined if there is none. */
export async function openPodman(folder: string): Promise<Peer | undefined> {
  try {
    const room = await openRoom(folder);
    return {
      room,
      words: room.inside(...podmanWords(`${folder}/root`, "/run/podman"), "--network-config-dir", `${folder}/networks`),
    };
  } catch (error) {
    return leaveOut("podman", error);
  }
}

/** Launches of /bin/true on the peers' own bridges. */
export function bridgedPeers(rootfs: string, docker: Peer | undefined, podman: Peer | undefined): Promise<Contender[]> {
  return workingOnes([
    ...(docker ? [command("docker run --rm", [...docker.words, "run", "--rm", "bench", "/bin/true"])] : []),
    ...(podman
      ? [command("podman run --rm", [...podman.words, "run", "--rm", ...LIMITS, "--rootfs", rootfs, "/bin/true"])]
      : []),
  ]);
}

async function bundle(folder: string, rootfs: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await runCommand(["runc", "spec"], folder);
  const path = `${folder}/config.json`;
  const config = JSON.parse(await Deno.readTextFile(path));
  config.root.path = rootfs;
  config.process.args = ["/bin/true"];
  config.process.terminal = false;
  await Deno.writeTextFile(path, JSON.stringify(config));
}

/** Every peer that is installed and can launch /bin/true on `rootfs` here, without a bridge. */
export async function launchPeers(folder: string, rootfs: string, docker?: Peer): Promise<Contender[]> {
  await bundle(`${folder}/bundle`, rootfs).catch(() => {});
  return workingOnes([
    command("bwrap --unshare-all", [
      ...["bwrap", "--unshare-all", "--bind", rootfs, "/", "--dev", "/dev", "--proc", "/proc", "/bin/true"],
    ]),
    command("runc run", ["runc", "--root", `${folder}/runc`, "run", "bench"], `${folder}/bundle`),
    command("podman run --network none", [
      ...["unshare", "--mount", "--propagation", "private", ...podmanWords(`${folder}/podman`, `${folder}/podman-run`)],
      ...["run", "--rm", "--network", "none", ...LIMITS, "--rootfs", rootfs, "/bin/true"],
    ]),
    ...(docker
      ? [command("docker run --network none", [
        ...[...docker.words, "run", "--rm", "--network", "none", "bench", "/bin/true"],
      ])]
      : []),
  ]);
}

const PODMAN_LEFTOVERS = ["/run/libpod", "/dev/shm/libpod_lock", "/run/runc"];

/** Remembers what is there, and returns a function that removes what podman, docker and runc have added meanwhile. */
export function watchLeftovers(): () => Promise<void> {
  const exists = (path: string): boolean => {
    try {
      Deno.lstatSync(path);
      return true;
    } catch {
      return false;
    }
  };
  const groups = (): string[] =>
    [...Deno.readDirSync("/sys/fs/cgroup")].flatMap(({ name }) =>
      ["libpod_parent", CGROUP].map((group) => `/sys/fs/cgroup/${name}/${group}`)
    ).filter(exists);
  const before = new Set([...PODMAN_LEFTOVERS.filter(exists), ...groups()]);
  return async () => {
    for (const path of PODMAN_LEFTOVERS) {
      if (exists(path) && !before.has(path)) await Deno.remove(path, { recursive: true });
    }
    for (const group of groups().filter((path) => !before.has(path))) {
      await runCommand(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
    }
  };
}
