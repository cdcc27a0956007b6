/**
 * Data directories: the locations of images and containers.
 *
 * @module
 */

import { isFolder } from "../../ffi/fs/paths.ts";
import { type Distrust, distrustOf, requireTrusted } from "./trust.ts";

/** Data directories, as absolute paths. */
export interface Folders {
  /** The directory of images. */
  readonly images: string;
  /** The directory of containers. */
  readonly containers: string;
  /** Which rule chose them. */
  readonly rule: "options" | "SAUROPOD_HOME" | "checkout" | "system" | "user";
  /** Why `./images` and `./containers` were not taken, although they are there. Default: they are not, or were. */
  readonly passedOver?: Distrust;
}

/** Directories that the user names. */
export interface FolderOptions {
  /** The directory of images. Default: by rule. */
  images?: string;
  /** The directory of containers. Default: by rule. */
  containers?: string;
}

function absolute(path: string): string {
  if (path.startsWith("./")) return absolute(path.slice(2));
  if (!path.startsWith("/")) return absolute(`${Deno.cwd()}/${path}`);
  return path.length > 1 && path.endsWith("/") ? absolute(path.slice(0, -1)) : path;
}

let lastPassedOver: Distrust | undefined;

/** Returns why `./images` and `./containers` were rejected; undefined if they were used or do not exist. */
export function passedOver(): Distrust | undefined {
  return lastPassedOver;
}

function home(): { path: string; rule: Folders["rule"] } {
  const named = Deno.env.get("SAUROPOD_HOME");
  if (named) return { path: absolute(named), rule: "SAUROPOD_HOME" };
  const here = Deno.cwd();
  if (isFolder(`${here}/images`) && isFolder(`${here}/containers`)) {
    lastPassedOver = distrustOf(`${here}/images`) ?? distrustOf(`${here}/containers`);
    if (!lastPassedOver) return { path: here, rule: "checkout" };
  }
  if (Deno.uid() === 0) return { path: "/var/lib/sauropod", rule: "system" };
  const data = Deno.env.get("XDG_DATA_HOME") || `${Deno.env.get("HOME") ?? ""}/.local/share`;
  return { path: `${data}/sauropod`, rule: "user" };
}

/**
 * Resolves the data directories, in this order: the options; `$SAUROPOD_HOME/images` and `…/containers`; `./images` and
 * `./containers` if both exist (a checkout) and no other user can change them; `/var/lib/sauropod/…` for root and
 * `$XDG_DATA_HOME/sauropod/…` (default `~/.local/share`) for others. Creates nothing.
 *
 * @throws {InputError} `folder-untrusted` if another user can change one of them or a parent directory.
 */
export function findFolders(options: FolderOptions = {}): Folders {
  const folders = chooseFolders(options);
  requireTrusted(folders.images);
  requireTrusted(folders.containers);
  return folders;
}

function chooseFolders(options: FolderOptions): Folders {
  if (options.images && options.containers) {
    return { images: absolute(options.images), containers: absolute(options.containers), rule: "options" };
  }
  const { path, rule } = home();
  return {
    images: options.images ? absolute(options.images) : `${path}/images`,
    containers: options.containers ? absolute(options.containers) : `${path}/containers`,
    rule,
    ...(lastPassedOver ? { passedOver: lastPassedOver } : {}),
  };
}
