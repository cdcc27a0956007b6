/**
 * Rules of `docker cp` for the name of a copy, as a pure function.
 *
 * @module
 */

/** The source of a copy. */
export interface Copied {
  /** Whether it is a directory. */
  readonly folder: boolean;
  /** Its name; empty for the root. */
  readonly name: string;
  /** Whether only its content is copied: its path ends with `/.`. */
  readonly contents: boolean;
}

/** The target of a copy. */
export interface Destination {
  /** The present file; special ones are devices, FIFOs and sockets. */
  readonly there: "folder" | "file" | "special" | "nothing";
  /** The last component of its path. */
  readonly name: string;
  /** Whether its path ends with a slash, and must be a directory. */
  readonly slash: boolean;
}

/** Reason why a copy is refused. */
export type Refusal = "no-folder" | "not-a-folder" | "folder-onto-file" | "special-file";

/**
 * Returns the name of the copy, in the target if that is a directory, else in its parent. An empty name copies the
 * source's content into the target.
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
