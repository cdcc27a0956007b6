/**
 * Where a copy goes: the rules of `docker cp`. Pure.
 *
 * @module
 */

/** What is copied. */
export interface Copied {
  /** Whether it is a folder. */
  readonly folder: boolean;
  /** Its own name; empty for the root. */
  readonly name: string;
  /** Whether only what is in it is meant: its path ends with `/.`. */
  readonly contents: boolean;
}

/** Where to. */
export interface Destination {
  /** What is there; a special file is a device, a FIFO or a socket. */
  readonly there: "folder" | "file" | "special" | "nothing";
  /** The last component of its path. */
  readonly name: string;
  /** Whether its path ends with a slash, which only a folder's may. */
  readonly slash: boolean;
}

/** Why a copy makes no sense. */
export type Refusal = "no-folder" | "not-a-folder" | "folder-onto-file" | "special-file";

/**
 * Decides what the copy is called, in the destination if that is a folder, else in the folder that it is in. Without a
 * name, what is in the source goes into the destination.
 */
export function placeCopy(
  { folder, name, contents }: Copied,
  to: Destination,
): { readonly name: string } | { readonly refusal: Refusal } {
  if (to.there === "folder") return { name: contents ? "" : name };
  if (to.there === "special") return { refusal: "special-file" };
  if (to.there === "file" && folder) return { refusal: "folder-onto-file" };
  if (to.slash && !folder) return { refusal: to.there === "nothing" ? "no-folder" : "not-a-folder" };
  return { name: to.name };
}
