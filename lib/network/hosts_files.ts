/**
 * Name resolution between containers of a network: each has a line in its peers' `/etc/hosts`.
 *
 * @module
 */

import { isInMemory } from "../../ffi/fs/filesystems.ts";
import { flags } from "../../ffi/program/flags.ts";
import {
  appendLines,
  appendToFiles,
  AT_FDCWD,
  openAt,
  openIn,
  read,
  rewrite,
  S_IF,
  statusAt,
} from "../../ffi/fs/fs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { isAlive } from "../host/process_identity.ts";
import type { Lease } from "./leases.ts";

function siblingLine(address: string, names: readonly string[], network: string): string {
  return `${address}\t${names.join(" ")}\t# ${network}\n`;
}

/**
 * Returns the lines of `/etc/hosts` for a sibling. Their remark tells them from those that were there from the start.
 */
export function siblingLines({ addresses, names, network }: Lease): string {
  return addresses.map((address) => siblingLine(address, names, network)).join("");
}

/** Removes a whole line from the text; returns undefined if it is not there. */
function withoutLine(text: string, line: string): string | undefined {
  const at = text.startsWith(line) ? 0 : text.indexOf(`\n${line}`) + 1;
  return at > 0 || text.startsWith(line) ? text.slice(0, at) + text.slice(at + line.length) : undefined;
}

/** Removes the lines of peers that have left from the text of `/etc/hosts`, even if the container has changed them. */
export function withoutSiblings(text: string, left: readonly Lease[]): string {
  for (const { addresses, network, names } of left) {
    for (const address of addresses) {
      text = withoutLine(text, siblingLine(address, names, network)) ?? text;
      if (!text.includes(`${address}\t`)) continue;
      const isTheirs = (line: string): boolean => line.startsWith(`${address}\t`) && line.endsWith(`\t# ${network}`);
      text = text.split("\n").filter((line) => !isTheirs(line)).join("\n");
    }
  }
  return text;
}

const LARGEST = 1 << 20;
let buffer: Uint8Array<ArrayBuffer> | undefined;

function readAll(fd: number): string {
  buffer ??= new Uint8Array(LARGEST);
  let length = 0;
  for (let n = 1; n > 0 && length < LARGEST; length += n) n = read(fd, buffer.subarray(length));
  return new TextDecoder().decode(buffer.subarray(0, length));
}

/**
 * Runs `work` with a file that Sauropod created for a container. It has no name, only a mount: any file that the
 * container or its user put in its place is left alone.
 */
function withOwnFile<T>(pid: number, path: string, access: "RDONLY" | "RDWR", work: (fd: number) => T): T | undefined {
  try {
    using root = new Fd(openAt(AT_FDCWD, `/proc/${pid}/root`, flags("O", "PATH", "DIRECTORY")));
    using file = new Fd(openIn(root.number, path, flags("O", access, "NONBLOCK", "NOCTTY", "NOFOLLOW")));
    const { mode, nlink } = statusAt(file.number);
    const isOwn = (mode & S_IF.MT) === S_IF.REG && nlink === 0 && isInMemory(file.number);
    return isOwn ? work(file.number) : undefined;
  } catch {
    // The container has ended, or has replaced its file, which must not affect others.
    return undefined;
  }
}

/** Reads a file of a running container's own; returns undefined if there is none. */
export function readOwnFile(pid: number, path: string): string | undefined {
  return withOwnFile(pid, path, "RDONLY", readAll);
}

const HOSTS = flags("O", "RDWR", "NOFOLLOW", "NONBLOCK");

/** Runs `work` with the host file that is a container's `/etc/hosts`. */
function withHosts(path: string, work: (fd: number) => void): void {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, path, HOSTS);
  } catch {
    // The container has been removed.
    return;
  }
  using _file = new Fd(fd);
  work(fd);
}

function changeHosts({ process, hosts }: Lease, work: (fd: number) => void): void {
  if (hosts !== undefined) withHosts(hosts, work);
  else if (process && isAlive(process)) withOwnFile(process.pid, "/etc/hosts", "RDWR", work);
}

/** Appends the lines of a joining container to its peers' files, which are not read. */
export function tellOfJoined(siblings: readonly Lease[], joined: Lease): void {
  const lines = new TextEncoder().encode(siblingLines(joined));
  appendToFiles(siblings.flatMap(({ hosts }) => hosts ?? []), lines);
  for (const sibling of siblings) {
    if (sibling.hosts === undefined) changeHosts(sibling, (fd) => appendLines(fd, lines));
  }
}

/** A change of the peers' `/etc/hosts`, made at most once. */
export interface HostsUpdate {
  /** Adds the lines of the joining containers. */
  readonly apply: () => void;
  /** Removes them if they have been added. */
  readonly revert: () => void;
}

/** Prepares adding joining containers to the `/etc/hosts` of the peers on their networks. */
export function prepareHostsUpdate(joining: readonly Lease[], siblings: readonly Lease[]): HostsUpdate {
  const near = ({ network }: Lease): Lease[] => siblings.filter((sibling) => sibling.network === network);
  let applied = false;
  return {
    apply() {
      if (applied) return;
      // Before the work, so that revert takes back what was done of it when it fails.
      applied = true;
      joining.forEach((one) => tellOfJoined(near(one), one));
    },
    revert() {
      if (applied) joining.forEach((one) => removeFromPeers(near(one), [one]));
      applied = false;
    },
  };
}

/** Removes the lines of containers that have left from their peers' files. */
export function removeFromPeers(siblings: readonly Lease[], left: readonly Lease[]): void {
  const encoder = new TextEncoder();
  for (const sibling of siblings) {
    changeHosts(sibling, (fd) => {
      const text = readAll(fd), changed = withoutSiblings(text, left);
      if (changed !== text) rewrite(fd, encoder.encode(changed));
    });
  }
}
