/**
 * Refusals of an archive: unsafe names, exceeded limits, entries that must not replace an existing file.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { quoteName } from "./entry.ts";

/** How much an archive may hold. */
export interface UnpackLimits {
  /** Entries and directories. Default: 1,000,000. */
  entries: number;
  /** Bytes of the uncompressed stream. Default: 64 GiB. */
  bytes: number;
  /** Components of a name. Default: 10,000. */
  depth: number;
  /** Bytes of one file, with its holes. Default: 1 TiB. */
  fileSize: number;
}

/** How much an archive may hold unless the caller says otherwise. */
export const DEFAULT_LIMITS: UnpackLimits = {
  entries: 1_000_000,
  bytes: 64 * 2 ** 30,
  depth: 10_000,
  fileSize: 2 ** 40,
};

/** Returns the error for a name that leads astray. */
export function unsafe(name: string, why: string): ImageError {
  return new ImageError(`the archive is unsafe: ${quoteName(name)} ${why}`, {
    code: "archive-unsafe",
    facts: { entry: name },
    hint: "do not use it unless you trust its maker",
  });
}

/** Returns the error for more than `limit` of something. */
export function tooLarge(what: string, limit: number): ImageError {
  return new ImageError(`the archive holds more than ${limit} ${what}`, {
    code: "archive-too-large",
    facts: { limit },
    hint: "raise the limit if you trust it",
  });
}

const OCCUPIED = {
  folder: "there is a folder, which it does not replace",
  other: "is a folder; what is there is none",
  special: "there is a device, FIFO or socket, which it does not replace",
} as const;

/** Returns the error for a file where a directory or special file is, or a directory where none is: neither may replace the other. */
export function occupied(name: string, there: keyof typeof OCCUPIED): ImageError {
  return new ImageError(`${quoteName(name)}: ${OCCUPIED[there]}`, {
    code: "occupied",
    facts: { entry: name },
    hint: "remove or rename one of them",
  });
}
