/**
 * Watching directories for changes (inotify(7)).
 *
 * @module
 */

import { forget, ready } from "../process/events.ts";
import { close, readNow } from "./fs.ts";
import { cPath } from "./names.ts";
import { shim } from "../native.ts";

/** A watch on directories. */
export interface Watch {
  /** Waits for a change since it last resolved, for {@linkcode wake}, or for `milliseconds`. */
  changed(milliseconds: number): Promise<void>;
  /** Ends the current wait, or else the next one at once. */
  wake(): void;
  /** Closes the watch. */
  close(): void;
}

const IN_NONBLOCK = 0x800, IN_CLOEXEC = 0x80000;
const IN_MODIFY = 0x2, IN_MOVED_TO = 0x80, IN_CREATE = 0x100, IN_DELETE = 0x200, IN_ONLYDIR = 0x1000000;
const CHANGES = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR;

/**
 * Watches directories for files that are created, removed or written, not recursively. Skips missing ones; where the
 * kernel refuses more watches, waits end only after their time: inotify_add_watch(2).
 */
export function watchFolders(folders: readonly string[]): Watch {
  const fd = shim.i("inotify_init1", IN_NONBLOCK | IN_CLOEXEC);
  const buffer = new Uint8Array(1 << 16);
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
      // The caller looks for itself: the events only have to be consumed.
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
