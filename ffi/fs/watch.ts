/**
 * Being told that something in a folder has changed (`inotify(7)`).
 *
 * @module
 */

import { forget, ready } from "../process/events.ts";
import { close, readNow } from "./fs.ts";
import { cPath } from "./names.ts";
import { shim } from "../native.ts";

/** Folders that are being watched. */
export interface Watch {
  /** Resolves when something has changed since it last resolved; also after `milliseconds`, and when woken. */
  changed(milliseconds: number): Promise<void>;
  /** Ends the waiting; if nobody waits, the next waiting is over at once. */
  wake(): void;
  /** Ends the watching. */
  close(): void;
}

const IN_NONBLOCK = 0x800, IN_CLOEXEC = 0x80000;
const IN_MODIFY = 0x2, IN_MOVED_TO = 0x80, IN_CREATE = 0x100, IN_DELETE = 0x200, IN_ONLYDIR = 0x1000000;
const CHANGES = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR;
const BUFFER = 1 << 16;

/**
 * Watches what is directly in `folders`: files that come, go or are written. Those that do not exist are left out; where
 * the kernel has no more watches to give, only the time tells.
 */
export function watchFolders(folders: readonly string[]): Watch {
  const fd = shim.i("inotify_init1", IN_NONBLOCK | IN_CLOEXEC);
  const buffer = new Uint8Array(BUFFER);
  let woken = false;
  let stopWaiting = (): void => {};
  const wake = (): void => {
    woken = true;
    stopWaiting();
  };
  if (fd >= 0) { for (const folder of folders) shim.ib("inotify_add_watch", fd, cPath(folder), CHANGES); }
  return {
    async changed(milliseconds): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      stopWaiting = fd < 0 ? resolve : () => forget(fd);
      const timer = setTimeout(wake, milliseconds);
      if (!woken) await (fd < 0 ? promise : ready(fd, "in"));
      clearTimeout(timer);
      woken = false;
      // What has changed is found by looking; the kernel needs only to be told that we know.
      while (fd >= 0 && readNow(fd, buffer) > 0);
    },
    wake,
    close(): void {
      if (fd < 0) return;
      forget(fd);
      close(fd);
    },
  };
}
