/**
 * Images, for scripts.
 *
 * @module
 */

import { findFolders, type FolderOptions } from "../host/folders.ts";
import type { BuildOptions, BuiltImage } from "../build/build.ts";
import type { CommitOptions } from "../image/commit.ts";
import type { ImportOptions } from "../image/exchange/import.ts";
import type { LoadOptions, Source } from "../image/exchange/load.ts";
import type { SaveFormat, SaveOptions } from "../image/exchange/save.ts";
import type { ImageSummary } from "../image/manage.ts";
import type { PullOptions } from "../image/pull.ts";
import type { PushOptions } from "../image/push.ts";
import type { StoredImage } from "../store/store.ts";
import { lazy } from "../lazy.ts";

/**
 * Pulls an image from a registry: downloads, verifies and unpacks what is missing.
 *
 * @param name A reference, such as `alpine:3.20` or `ghcr.io/owner/name@sha256:…`.
 * @throws {InputError} if `name` is no reference.
 * @throws {ImageError} for everything that is wrong with the image or its registry. What was downloaded is kept.
 */
export async function pullImage(name: string, options: PullOptions & FolderOptions = {}): Promise<StoredImage> {
  const { pullImage } = await lazy.pull();
  return pullImage(name, findFolders(options).images, options);
}

/**
 * Pushes a stored image to a registry. Returns the digest of its manifest.
 *
 * @param name Its name, or the beginning of its digest.
 * @throws {ImageError} if there is no such image, or the registry refuses it.
 */
export async function pushImage(name: string, options: PushOptions & FolderOptions = {}): Promise<string> {
  const { pushImage } = await lazy.push();
  return pushImage(name, findFolders(options).images, options);
}

/** The stored images, by name: what was pulled, loaded, imported, built or committed. */
export async function listImages(options: FolderOptions = {}): Promise<ImageSummary[]> {
  const { listSummaries } = await lazy.imageManage();
  return listSummaries(findFolders(options).images);
}

/**
 * Makes an image of a folder, an archive or a stream of one: of a root file system, or of an image.
 *
 * @throws {InputError} if `name` is no name for an image.
 * @throws {ImageError} for everything that is wrong with the source. There is no new image then.
 */
export async function importImage(
  source: Source,
  name: string,
  options: ImportOptions & FolderOptions = {},
): Promise<StoredImage> {
  const { importImage } = await lazy.importImage();
  return importImage(findFolders(options).images, source, name, options);
}

/**
 * Loads the images of an OCI layout or of an archive that docker, podman, skopeo or {@linkcode saveImages} made.
 *
 * @throws {ImageError} for everything that is wrong with the source. No name has changed then.
 */
export async function loadImages(source: Source, options: LoadOptions & FolderOptions = {}): Promise<StoredImage[]> {
  const { loadImages } = await lazy.loadImages();
  return loadImages(findFolders(options).images, source, options);
}

/**
 * Saves images as an archive, into a file or stream, or as an OCI layout into a folder.
 *
 * @param to A path; one that ends with a slash is a folder's.
 * @param options With `format`, `oci` or `docker`. Default: `docker`, which docker, podman and skopeo read.
 * @throws {InputError} if it cannot be written there.
 * @throws {ImageError} if an image is missing or damaged.
 */
export async function saveImages(
  names: readonly string[],
  to: string | WritableStream<Uint8Array>,
  options: SaveOptions & FolderOptions & { format?: SaveFormat } = {},
): Promise<void> {
  const { saveImages } = await lazy.saveImages();
  await saveImages(findFolders(options).images, names, to, options.format ?? "docker", options);
}

/**
 * Gives a stored image another name too.
 *
 * @throws {InputError} if `other` is no name for an image.
 * @throws {ImageError} if there is no image `name`.
 */
export async function tagImage(name: string, other: string, options: FolderOptions = {}): Promise<StoredImage> {
  const { tagImage } = await lazy.imageManage();
  return tagImage(findFolders(options).images, name, other);
}

/**
 * Takes an image's name away, and with its last name what nothing else needs. Returns the full name.
 *
 * @param options With `force`, also if containers are made of it; they keep what they need. Default: false.
 * @throws {ImageError} if there is no such image, or containers are made of it.
 */
export async function removeImage(
  name: string,
  options: FolderOptions & { force?: boolean } = {},
): Promise<string> {
  const { removeImage } = await lazy.removeImages();
  return removeImage(findFolders(options).images, name, options.force);
}

/**
 * Makes an image of a container: its own image, and a layer with everything that it has changed.
 *
 * @param container Its name, its id, or the beginning of its id.
 * @throws {ContainerError} if there is no such container, or its image is gone.
 * @throws {ImageError} if the image cannot be made. There is no new image then.
 */
export async function commitContainer(
  container: string,
  name: string,
  options: CommitOptions & FolderOptions = {},
): Promise<StoredImage> {
  const { commitContainer } = await lazy.commit();
  return commitContainer(findFolders(options), container, name, options);
}

/**
 * Builds an image of a Dockerfile and the folder `context`, from which it copies files. Everything is checked before
 * anything is made; steps that were done before, on the same image with the same files, are not done again.
 *
 * ```ts
 * const { descriptor } = await buildImage("./app", { names: ["app:1"], buildArgs: { VERSION: "1" } });
 * ```
 *
 * @throws {InputError} for what is wrong with the Dockerfile, with its line.
 * @throws {ImageError} if an image that it needs cannot be had, and `run-failed` with `facts.exitCode` for a command that
 *   fails. There is no new image then, and nothing of the step that failed.
 */
export async function buildImage(context: string, options: BuildOptions & FolderOptions = {}): Promise<BuiltImage> {
  const { buildImage } = await lazy.buildImage();
  return buildImage(findFolders(options), context, options);
}
