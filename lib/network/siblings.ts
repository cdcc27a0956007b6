/**
 * How the containers of a network learn each other's names: each has a line in the others' `/etc/hosts`.
 *
 * @module
 */

import { flags } from "../../ffi/flags.ts";
import { AT_FDCWD, close, isInMemory, openAt, openIn, read, rewrite, S_IF, statusAt } from "../../ffi/fs.ts";
import { isAlive } from "../container/record.ts";
import type { Lease } from "./leases.ts";

/** The lines of `/etc/hosts` for a sibling. Their remark tells them from those that were there from the start. */
export function siblingLines({ addresses, names, network }: Lease): string {
  return addresses.map((address) => `${address}\t${names.join(" ")}\t# ${network}\n`).join("");
}

/** The text of `/etc/hosts` after a sibling has joined or left. */
export function changeHosts(text: string, { joined, left }: { joined?: Lease; left?: Lease }): string {
  const changed = [joined, left].flatMap((lease) =>
    lease?.addresses.map((address) => ({ address, remark: `# ${lease.network}` })) ?? []
  );
  const lines = text.split("\n").slice(0, text === "" || text.endsWith("\n") ? -1 : undefined);
  const kept = lines.filter((line) =>
    !changed.some(({ address, remark }) => line.startsWith(`${address}\t`) && line.endsWith(`\t${remark}`))
  );
  return kept.map((line) => line + "\n").join("") + (joined ? siblingLines(joined) : "");
}

const LARGEST = 1 << 20;

function readAll(fd: number): string {
  const bytes = new Uint8Array(LARGEST);
  let length = 0;
  for (let n = 1; n > 0 && length < LARGEST; length += n) n = read(fd, bytes.subarray(length));
  return new TextDecoder().decode(bytes.subarray(0, length));
}

/**
 * Runs `work` with a file that Sauropod gave to a container. Such a file has no name of its own, only a mount:
 * whatever else the container or its user has put in its place is left alone.
 */
function withOwnFile<T>(pid: number, path: string, access: "RDONLY" | "RDWR", work: (fd: number) => T): T | undefined {
  const open: number[] = [];
  try {
    const root = openAt(AT_FDCWD, `/proc/${pid}/root`, flags("O", "PATH", "DIRECTORY"));
    open.push(root);
    const file = openIn(root, path, flags("O", access, "NONBLOCK", "NOCTTY", "NOFOLLOW"));
    open.push(file);
    const { mode, nlink } = statusAt(file);
    return (mode & S_IF.MT) === S_IF.REG && nlink === 0 && isInMemory(file) ? work(file) : undefined;
  } catch {
    // The container has ended, or changed what was its own: nobody else is to suffer for that.
    return undefined;
  } finally {
    open.forEach(close);
  }
}

/** What a file of a running container's own holds; undefined if there is none. */
export function readOwnFile(pid: number, path: string): string | undefined {
  return withOwnFile(pid, path, "RDONLY", readAll);
}

/** Runs `work` with the file of the host's that is a container's `/etc/hosts`. */
function withHosts(path: string, work: (fd: number) => void): void {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, path, flags("O", "RDWR", "NOFOLLOW", "NONBLOCK"));
  } catch {
    // The container has been removed.
    return;
  }
  try {
    work(fd);
  } finally {
    close(fd);
  }
}

/** Tells siblings that another has joined or left. */
export function tellSiblings(siblings: readonly Lease[], change: { joined?: Lease; left?: Lease }): void {
  const encoder = new TextEncoder();
  const tell = (fd: number): void => rewrite(fd, encoder.encode(changeHosts(readAll(fd), change)));
  for (const { process, hosts } of siblings) {
    if (hosts !== undefined) withHosts(hosts, tell);
    else if (process && isAlive(process)) withOwnFile(process.pid, "/etc/hosts", "RDWR", tell);
  }
}
