import { S_IF } from "../../ffi/fs/fs.ts";
import { modeOf } from "../../ffi/fs/paths.ts";
import { lazy } from "../lazy.ts";
import { ImageError, InputError } from "../errors.ts";
import type { Image } from "../store/image.ts";
import type { StoredOptions } from "../store/stored.ts";

/** An image of an image directory. */
export interface ImageEntry {
  /** The name to run it by. */
  name: string;
  /** Its kind. */
  kind: "folder" | "archive";
  /** The directory or archive, with the image directory's path in front. */
  path: string;
}

// In the order in which they are looked for. xz and bzip2 are refused when unpacked, with a hint.
const ARCHIVE_ENDINGS = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"] as const;

/** Returns the name of the image that the archive at `path` holds; `undefined` if the path does not end as an archive does. */
export function archiveName(path: string): string | undefined {
  const file = path.slice(path.lastIndexOf("/") + 1);
  const ending = ARCHIVE_ENDINGS.find((ending) => file.endsWith(ending) && file.length > ending.length);
  return ending && file.slice(0, -ending.length);
}

/** Returns the directory to which a directory's archives are unpacked. */
export function storeOf(imagesFolder: string): string {
  return `${imagesFolder}/.unpacked`;
}

/** Prefix of the name of an image that is a fork of a container. */
export const FORK = "container:";

const NAME = /^[A-Za-z0-9_.:-]+$/;
const MAX_DEPTH = 4, MOST_NAMED = 20, LONGEST_SHOWN = 300;
const ROOT_FOLDERS = new Set(["bin", "dev", "etc", "lib", "proc", "sbin", "sys", "tmp", "usr", "var"]);

type Place = { kind: "host" } | { kind: "folder" | "archive"; path: string };

function isLocalName(name: string): boolean {
  return name.split("/").every((part) => NAME.test(part) && !part.startsWith(".") && !part.startsWith("-"));
}

function invalidName(name: string): InputError {
  return new InputError(`not an image name: ${JSON.stringify(name.slice(0, LONGEST_SHOWN))}`, {
    code: "invalid-image-name",
    facts: { name },
    hint:
      "a folder or archive in the folder of images, or a reference such as alpine:3.20 or ghcr.io/owner/name@sha256:…",
  });
}

function typeOf(path: string): "folder" | "file" | undefined {
  const type = (modeOf(path) ?? 0) & S_IF.MT;
  return type === S_IF.DIR ? "folder" : type === S_IF.REG ? "file" : undefined;
}

async function notFound(
  name: string,
  imagesFolder: string,
  stored: readonly string[],
  cause?: ImageError,
): Promise<ImageError> {
  const { listed } = await lazy.listed();
  const looked = ["", ...ARCHIVE_ENDINGS].map((ending) => `${imagesFolder}/${name}${ending}`);
  const near = listImages(imagesFolder).map((image) => image.name);
  const others = listed([...near, ...stored, "host"].map((other) => JSON.stringify(other)), MOST_NAMED);
  const pulled = cause ? `; and it could not be pulled: ${cause.message}` : "";
  return new ImageError(`no image ${JSON.stringify(name)}; looked for ${looked.join(", ")}${pulled}`, {
    code: "image-not-found",
    facts: { name, looked, images: [...near, ...stored], ...(cause ? { registry: cause.facts } : {}) },
    hint: `There is: ${others}. A root file system put there as a folder or archive is an image.`,
    cause,
  });
}

/** Returns the image of that name in the store. Throws `image-not-found` if it is not there and cannot be pulled. */
async function resolveFromStore(name: string, imagesFolder: string, options: StoredOptions): Promise<Image> {
  const { fullName, resolveStored, storedNames } = await lazy.stored();
  if (!isLocalName(name) && fullName(name) === undefined) throw invalidName(name);
  try {
    const stored = await resolveStored(name, imagesFolder, options);
    if (stored) return stored;
  } catch (error) {
    const missing = error instanceof ImageError && /^(image-not-found|registry-.*)$/.test(error.code);
    throw missing ? await notFound(name, imagesFolder, storedNames(imagesFolder), error) : error;
  }
  throw await notFound(name, imagesFolder, storedNames(imagesFolder));
}

function locate(name: string, imagesFolder: string): Place | undefined {
  if (name === "host") return { kind: "host" };
  if (!isLocalName(name)) return undefined;
  const path = `${imagesFolder}/${name}`;
  if (typeOf(path) === "folder") return { kind: "folder", path };
  const ending = ARCHIVE_ENDINGS.find((ending) => typeOf(path + ending) === "file");
  return ending && { kind: "archive", path: path + ending };
}

/**
 * Finds the image `name`: `host` is the host's own root; else it is the directory `name` of `imagesFolder`, or an archive
 * of that name, which is unpacked once into the directory `.unpacked` there; else the image of that name in the store,
 * which is pulled if it is missing. `container:NAME` is a fork of a container's files.
 *
 * Throws {@linkcode InputError} `invalid-image-name`, {@linkcode ImageError} `image-not-found`, and those of
 * `unpackOnce` in `archive.ts` and of `resolveStored` in `stored.ts`.
 */
export async function resolveImage(name: string, imagesFolder: string, options: StoredOptions = {}): Promise<Image> {
  if (name.startsWith(FORK) && options.containers !== undefined) {
    const { resolveFork } = await lazy.fork();
    return resolveFork(options.containers, name.slice(FORK.length));
  }
  const place = locate(name, imagesFolder);
  if (place?.kind === "host") return { name, lower: ["/"], kind: "host" };
  if (place?.kind === "folder") return { name, lower: [Deno.realPathSync(place.path)], kind: "folder" };
  if (!place) return await resolveFromStore(name, imagesFolder, options);
  const { findUnpacked, unpackOnce } = await lazy.archive();
  const store = storeOf(imagesFolder);
  const rootfs = findUnpacked(place.path, store) ??
    await unpackOnce(place.path, store, options.interrupted?.() ?? options.signal);
  return { name, lower: [Deno.realPathSync(rootfs)], kind: "archive" };
}

/** Reports whether a directory only holds images, and is not an image itself. */
function isGroup(children: readonly string[], folder: string): boolean {
  const belongs = (name: string) =>
    archiveName(name) !== undefined || !ROOT_FOLDERS.has(name) && typeOf(`${folder}/${name}`) === "folder";
  return children.length > 0 && children.every(belongs);
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map((entry) => entry.name).filter((name) => !name.startsWith(".")).sort();
  } catch {
    // Not there, or not ours to read: nothing to list.
    return [];
  }
}

/**
 * Lists the images of a directory and of the directories in it that only group images, by name. Where a directory and an archive
 * have the same name, the one that {@linkcode resolveImage} takes is listed.
 */
export function listImages(imagesFolder: string): ImageEntry[] {
  const found = new Map<string, ImageEntry>();
  function add(entry: ImageEntry): void {
    const rank = ({ kind, path }: ImageEntry): number =>
      kind === "folder" ? -1 : ARCHIVE_ENDINGS.findIndex((ending) => path === `${imagesFolder}/${entry.name}${ending}`);
    const other = found.get(entry.name);
    if (!other || rank(entry) < rank(other)) found.set(entry.name, entry);
  }
  function visit(folder: string, prefix: string, names: readonly string[], depth: number): void {
    for (const name of names) {
      const path = `${folder}/${name}`, image = archiveName(name);
      const type = typeOf(path);
      if (type === "file" && image) add({ name: prefix + image, kind: "archive", path });
      if (type !== "folder") continue;
      const children = namesIn(path);
      if (depth < MAX_DEPTH && isGroup(children, path)) visit(path, `${prefix}${name}/`, children, depth + 1);
      else add({ name: prefix + name, kind: "folder", path });
    }
  }
  visit(imagesFolder, "", namesIn(imagesFolder), 1);
  return [...found.values()].sort((a, b) => a.name < b.name ? -1 : 1);
}
