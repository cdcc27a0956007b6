/**
 * API of images: pull, push, build, import, load, save, tag, commit.
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
 * Pulls an image from a registry: downloads, verifies and unpacks missing layers.
 *
 * @param name A reference, such as `alpine:3.20` or `ghcr.io/owner/name@sha256:…`.
 * @throws {InputError} if `name` is not a reference.
 * @throws {ImageError} for errors of the image or its registry. Downloaded blobs are kept.
 */
export async function pullImage(name: string, options: PullOptions & FolderOptions = {}): Promise<StoredImage> {
  const { pullImage } = await lazy.pull();
  return pullImage(name, findFolders(options).images, options);
}

/**
 * Pushes a stored image to a registry. Returns the digest of its manifest.
 *
 * @param name Its name, or a prefix of its digest.
 * @throws {ImageError} if the image does not exist, or the registry refuses it.
 */
export async function pushImage(name: string, options: PushOptions & FolderOptions = {}): Promise<string> {
  const { pushImage } = await lazy.push();
  return pushImage(name, findFolders(options).images, options);
}

/** Lists the stored images, by name: pulled, loaded, imported, built or committed. */
export async function listImages(options: FolderOptions = {}): Promise<ImageSummary[]> {
  const { listSummaries } = await lazy.imageManage();
  return listSummaries(findFolders(options).images);
}

/**
 * Imports an image from a directory, an archive or a stream of one, of a root filesystem or an image.
 *
 * @throws {InputError} if `name` is not an image name.
 * @throws {ImageError} for errors of the source. No image is created then.
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
 * Loads the images of an OCI layout, or of an archive of docker, podman, skopeo or {@linkcode saveImages}.
 *
 * @throws {ImageError} for errors of the source. No name is changed then.
 */
export async function loadImages(source: Source, options: LoadOptions & FolderOptions = {}): Promise<StoredImage[]> {
  const { loadImages } = await lazy.loadImages();
  return loadImages(findFolders(options).images, source, options);
}

/**
 * Saves images as an archive to a file or stream, or as an OCI layout to a directory.
 *
 * @param to A path; with a slash at the end, a directory.
 * @param options With `format`, `oci` or `docker`. Default: `docker`, which docker, podman and skopeo read.
 * @throws {InputError} if `to` cannot be written.
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
 * Adds the name `other` to a stored image.
 *
 * @throws {InputError} if `other` is not an image name.
 * @throws {ImageError} if image `name` does not exist.
 */
export async function tagImage(name: string, other: string, options: FolderOptions = {}): Promise<StoredImage> {
  const { tagImage } = await lazy.imageManage();
  return tagImage(findFolders(options).images, name, other);
}

/**
 * Removes an image name, and with the last name all unused layers. Returns the full name.
 *
 * @param options With `force`, also if containers use it; they keep their layers. Default: false.
 * @throws {ImageError} if the image does not exist, or containers use it.
 */
export async function removeImage(
  name: string,
  options: FolderOptions & { force?: boolean } = {},
): Promise<string> {
  const { removeImage } = await lazy.removeImages();
  return removeImage(findFolders(options).images, name, options.force);
}

/**
 * Creates an image from a container: its image, and a layer with its changes.
 *
 * @param container Its name, ID, or prefix of its ID.
 * @throws {ContainerError} if the container does not exist, or its image is gone.
 * @throws {ImageError} if the image cannot be created.
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
 * Builds an image from a Dockerfile and the directory `context`. Checks everything before the first step; steps with the
 * same image and files as before are taken from the cache.
 *
 * ```ts
 * const { descriptor } = await buildImage("./app", { names: ["app:1"], buildArgs: { VERSION: "1" } });
 * ```
 *
 * @throws {InputError} for errors of the Dockerfile, with the line.
 * @throws {ImageError} if a base image is not available; `run-failed` with `facts.exitCode` if a command fails. No image is
 *   created then, and the failed step leaves nothing.
 */
export async function buildImage(context: string, options: BuildOptions & FolderOptions = {}): Promise<BuiltImage> {
  const { buildImage } = await lazy.buildImage();
  return buildImage(findFolders(options), context, options);
}
