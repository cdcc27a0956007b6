/**
 * Rooms: namespaces of their own, in which a peer may do with networks, mounts and processes as it likes. All that is
 * in a room ends with it.
 *
 * @module
 */

import { runCommand } from "./peers.ts";

/** Network, mount and process namespaces. */
export interface Room {
  /** The number of a process whose network namespace is the room's. */
  readonly pid: number;
  /** A command that runs `words` in the room. */
  inside(...words: string[]): string[];
  /** Runs a shell script in the room. */
  script(text: string): Promise<void>;
  /** Ends all that runs in it. */
  close(): Promise<void>;
}

const GRACE_MS = 10_000;

/** This process's own namespaces. */
export const outside: Room = {
  pid: Deno.pid,
  inside: (...words) => words,
  script: (text) => runCommand(["sh", "-ec", text]),
  close: () => Promise.resolve(),
};

/**
 * A room has a /run of its own, and an /etc whose changes go to a folder. Its process 1 ends when nobody holds its input
 * any more, also because the bench was killed.
 */
const PROCESS_1 = `
  ip link set lo up
  mkdir -p "$1/etc" "$1/work"
  mount -t overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" room /etc
  mount -t tmpfs room /run
  shift
  if [ $# -gt 0 ]; then "$@" </dev/null >/dev/null & fi
  echo ready
  cat
  if [ $# -gt 0 ]; then kill $!; wait; fi`;

/** Opens a room. `folder` is its own; `daemon` runs in it, and is ended by SIGTERM. Default: none. */
export async function openRoom(folder: string, daemon: readonly string[] = []): Promise<Room> {
  await Deno.mkdir(folder, { recursive: true });
  const log = await Deno.open(`${folder}/log`, { write: true, create: true });
  const child = new Deno.Command("unshare", {
    args: [
      ...["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "--"],
      ...["sh", "-ec", PROCESS_1, "sh", folder, ...daemon],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const logged = child.stderr.pipeTo(log.writable);
  const output = child.stdout.getReader();
  const { done } = await output.read();
  const { pid } = child;
  const inside = (...command: string[]): string[] => [
    ...["nsenter", "--target", `${pid}`, "--mount", "--net", `--pid=/proc/${pid}/ns/pid_for_children`, "--"],
    ...command,
  ];
  const close = async (): Promise<void> => {
    const timer = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
    await child.stdin.close();
    await Promise.all([child.status, logged, output.cancel()]);
    clearTimeout(timer);
  };
  if (done) {
    await close();
    throw new Error(`no room: ${(await Deno.readTextFile(`${folder}/log`)).trim()}`);
  }
  return { pid, inside, script: (text) => runCommand(inside("sh", "-ec", text)), close };
}

/** Connects two rooms by a pair of interfaces: what each is called there, and its address with its prefix. */
export async function connect(
  [near, nearName, nearAddress]: readonly [room: Room, name: string, address?: string],
  [far, farName, farAddress]: readonly [room: Room, name: string, address?: string],
): Promise<void> {
  await runCommand([
    ...["ip", "link", "add", nearName, "netns", `${near.pid}`, "type", "veth"],
    ...["peer", "name", farName, "netns", `${far.pid}`],
  ]);
  for (const [room, name, address] of [[near, nearName, nearAddress], [far, farName, farAddress]] as const) {
    await room.script(`${address ? `ip address add ${address} dev ${name}; ` : ""}ip link set ${name} up`);
  }
}
