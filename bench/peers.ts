/**
 * The peers that Sauropod is measured beside, as far as they are installed. They work in a folder of the bench's own.
 *
 * @module
 */

import type { Contender } from "./measure.ts";
import { timed } from "./measure.ts";

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

async function works(contender: Contender): Promise<boolean> {
  try {
    await contender.once();
    return true;
  } catch (error) {
    console.error(
      `left out: ${contender.name}: ${error instanceof Error ? error.message.trim().split("\n").at(-1) : error}`,
    );
    return false;
  }
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

/** Every peer that is installed and can launch /bin/true on `rootfs` here. */
export async function launchPeers(folder: string, rootfs: string): Promise<Contender[]> {
  const all = [
    command("bwrap --unshare-all", [
      "bwrap",
      "--unshare-all",
      "--bind",
      rootfs,
      "/",
      "--dev",
      "/dev",
      "--proc",
      "/proc",
      "/bin/true",
    ]),
    command("runc run", ["runc", "--root", `${folder}/runc`, "run", "bench"], `${folder}/bundle`),
    command("podman run --network none", [
      ...["unshare", "--mount", "--propagation", "private", "podman", "--root", `${folder}/podman`],
      ...[
        "--runroot",
        `${folder}/podman-run`,
        "--cgroup-manager",
        "cgroupfs",
        "--runtime",
        "runc",
        "--events-backend",
        "none",
      ],
      ...["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1024:2048"],
      ...["--rootfs", rootfs, "/bin/true"],
    ]),
    command("docker run --network none", ["docker", "run", "--rm", "--network", "none", "sauropod-bench", "/bin/true"]),
  ];
  await bundle(`${folder}/bundle`, rootfs).catch(() => {});
  const working: Contender[] = [];
  for (const contender of all) if (await works(contender)) working.push(contender);
  return working;
}

const PODMAN_LEFTOVERS = ["/run/libpod", "/dev/shm/libpod_lock", "/run/runc"];

/** Remembers what is there, and returns a function that removes what podman and runc have added meanwhile. */
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
    [...Deno.readDirSync("/sys/fs/cgroup")].map(({ name }) => `/sys/fs/cgroup/${name}/libpod_parent`).filter(exists);
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
