/**
 * Permissions of inherited streams: /dev/stdin, /dev/stdout and /dev/stderr lead to the caller's file, which the command's
 * user may not be allowed to open. The mode of a pipe is widened; any other file keeps its mode, and the command gets a
 * pipe instead, as with docker and podman.
 *
 * @module
 */

import { ready } from "../../../ffi/process/events.ts";
import { close, read, S_IF, seekBack, statusAt } from "../../../ffi/fs/fs.ts";
import { type Ownership, readLink } from "../../../ffi/fs/paths.ts";
import { bytesIn } from "../../../ffi/process/process.ts";
import type { ProcessSpec } from "../../program/spec.ts";
import { type Handle, writeSome } from "./pipes.ts";

/**
 * Way in which the command gets an inherited stream: as it is; as a pipe with another mode; relayed through a pipe; or
 * through the pipe of standard output, where both are the same file, to keep the order of output.
 */
export type Access = "given" | "relayed" | "as-output" | { readonly mode: number };

const READ = 4, WRITE = 2, CHUNK = 65536;

/** Returns whether the command's user may open the file for `need`, a bit of a mode. */
function mayOpen(
  { mode, uid, gid }: Ownership,
  { identity, capabilities, ambient }: ProcessSpec,
  need: number,
): boolean {
  if ((identity.uid === 0 ? capabilities : ambient).includes("DAC_OVERRIDE")) return true;
  const shift = identity.uid === uid ? 6 : [identity.gid, ...identity.groups].includes(gid) ? 3 : 0;
  return (mode >> shift & need) !== 0;
}

/** Returns the access to a descriptor. A socket cannot be opened by name; widening an anonymous pipe exposes no other file. */
function accessTo(fd: number, process: ProcessSpec): Access {
  const status = statusAt(fd), type = status.mode & S_IF.MT, need = fd === 0 ? READ : WRITE;
  if (type === S_IF.SOCK) return fd === 0 ? "given" : "relayed";
  if (mayOpen(status, process, need)) return "given";
  if (type === S_IF.IFO && readLink(`/proc/self/fd/${fd}`)?.startsWith("pipe:")) {
    return { mode: status.mode & 0o777 | need * 0o111 };
  }
  // Data read ahead could not be put back.
  if (fd === 0 && type !== S_IF.REG) return "given";
  return "relayed";
}

function isSameFile(one: number, other: number): boolean {
  const a = statusAt(one), b = statusAt(other);
  return a.ino === b.ino && a.dev === b.dev;
}

/** Returns the access to inherited streams, by descriptor. */
export function chooseAccess(inherited: readonly number[], process: ProcessSpec): ReadonlyMap<number, Access> {
  const all = new Map(inherited.map((fd) => [fd, accessTo(fd, process)]));
  if (all.get(1) === "relayed" && all.get(2) === "relayed" && isSameFile(1, 2)) all.set(2, "as-output");
  return all;
}

/**
 * Copies the regular file `from` to the command's pipe, whose ends are `target` and `reading`. Returns a function to call
 * when the command has exited: it stops and moves the file offset back over unread data.
 */
export function feed(from: number, target: Handle, reading: number): () => void {
  const buffer = new Uint8Array(CHUNK);
  let ahead = 0, stopped = false;
  const copy = async (): Promise<void> => {
    while (target.isOpen() && (ahead = read(from, buffer)) > 0) {
      for (let rest = buffer.subarray(0, ahead); rest.length > 0; ahead = rest.length) {
        const n = writeSome(target, rest);
        if (n < 0) await ready(target.fd, "out");
        else rest = rest.subarray(n);
      }
    }
  };
  // A read error ends the command's input.
  copy().catch(() => {}).finally(target.close);
  return () => {
    if (stopped) return;
    stopped = true;
    seekBack(from, ahead + bytesIn(reading));
    target.close();
    close(reading);
  };
}
