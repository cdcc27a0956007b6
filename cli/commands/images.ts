/**
 * `sauropod images` and `sauropod commit`.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { lazy } from "../../lib/lazy.ts";
import { type ImageSettings, isDigest } from "../../lib/oci.ts";
import { listImages } from "../../lib/image/resolve.ts";
import { familiarReference, parseReference } from "../../lib/registry/reference.ts";
import { formatSize } from "../../lib/text/size.ts";
import { forEach } from "./each.ts";
import { progressView } from "../output/progress.ts";
import { passSignals } from "../terminal/signals.ts";
import { ago, printError, printJson, printOut, table } from "../output/output.ts";

/** The flags of commands that list. */
export interface ListFlags extends FolderOptions {
  readonly json?: boolean;
}

/** The flags of `images pull`. */
export interface PullFlags extends FolderOptions {
  readonly platform?: string;
  readonly quiet?: boolean;
}

function familiar(name: string): string {
  return isDigest(name) ? name : familiarReference(parseReference(name));
}

function shortDigest(digest: string): string {
  return digest.slice("sha256:".length, "sha256:".length + 12);
}

/** Lists images. */
export async function ls(flags: ListFlags & { quiet?: boolean }): Promise<void> {
  const { images } = findFolders(flags);
  const { listSummaries } = await lazy.imageManage();
  const own = listImages(images);
  const stored = listSummaries(images, (name, why) => printError(`sauropod: ${name}: ${why}`));
  if (flags.json) return printJson([...own, ...stored.map((image) => ({ ...image, kind: "stored" }))]);
  if (flags.quiet) return printOut(stored.map(({ digest }) => shortDigest(digest) + "\n").join(""));
  const rows = [
    ...own.map(({ name, kind, path }) => [name, kind, "", "", path]),
    ...stored.map(({ name, platform, size, created, digest }) => [
      familiar(name),
      platform,
      formatSize(size),
      created === undefined ? "" : ago(created),
      shortDigest(digest),
    ]),
  ];
  printOut(table(["IMAGE", "KIND", "SIZE", "CREATED", "PATH OR DIGEST"], rows));
}

/** Runs `work` with an abort signal that SIGINT and SIGTERM trigger. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const signals = ["SIGINT", "SIGTERM"] as const;
  const abort = (): void => controller.abort(new Error("interrupted; the next attempt resumes here"));
  for (const signal of signals) Deno.addSignalListener(signal, abort);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, abort);
  }
}

/** Pulls images and prints their digests. */
export async function pull(flags: PullFlags, ...names: string[]): Promise<void> {
  const { images } = findFolders(flags);
  const { pullImage } = await lazy.pull();
  for (const name of names) {
    const view = flags.quiet ? undefined : progressView();
    const { descriptor } = await interruptible((signal) =>
      pullImage(name, images, { platform: flags.platform, signal, onProgress: view?.update })
    );
    view?.finish();
    printOut(descriptor.digest + "\n");
  }
}

/** Pushes an image and prints its digest. */
export async function push(flags: FolderOptions, name: string, to?: string): Promise<void> {
  const { pushImage } = await lazy.push();
  const view = progressView();
  const digest = await interruptible((signal) =>
    pushImage(name, findFolders(flags).images, { to, signal, onProgress: view.update })
  );
  view.finish();
  printOut(digest + "\n");
}

/** Prints images as JSON. */
export async function inspect(flags: FolderOptions, ...names: string[]): Promise<void> {
  const { inspectImage } = await lazy.imageManage();
  const { images } = findFolders(flags);
  printJson(names.map((name) => inspectImage(images, name)));
}

/** Prints the history of an image. */
export async function history(flags: ListFlags, name: string): Promise<void> {
  const { historyOf } = await lazy.imageManage();
  const lines = historyOf(findFolders(flags).images, name);
  if (flags.json) return printJson(lines);
  const rows = lines.map(({ created, created_by = "", size, comment = "" }) => [
    created === undefined ? "" : ago(created),
    created_by.replace(/\s+/g, " ").slice(0, 60),
    formatSize(size),
    comment,
  ]);
  printOut(table(["CREATED", "CREATED BY", "SIZE", "COMMENT"], rows));
}

/** Adds a name to an image. */
export async function tag(flags: FolderOptions, name: string, other: string): Promise<void> {
  const { tagImage } = await lazy.imageManage();
  tagImage(findFolders(flags).images, name, other);
}

/** Removes images. Returns 1 if one could not be removed. */
export async function rm(flags: FolderOptions & { force?: boolean }, ...names: string[]): Promise<number> {
  const { images } = findFolders(flags);
  const { removeImage } = await lazy.removeImages();
  return await forEach(names, async (name) => {
    await removeImage(images, name, flags.force);
  });
}

/** Removes unused blobs and layers; with `all` also images that no container uses. */
export async function prune(flags: ListFlags & { all?: boolean }): Promise<void> {
  const { pruneStore } = await lazy.removeImages();
  const pruned = await pruneStore(findFolders(flags).images, flags.all);
  if (flags.json) return printJson(pruned);
  printOut(pruned.names.map((name) => familiar(name) + "\n").join(""));
  printOut(`${pruned.layers.length} layers and ${pruned.blobs.length} blobs, ${formatSize(pruned.bytes)}\n`);
}

/** Verifies every blob and layer. Returns 1 if one is damaged. */
export async function verify(flags: ListFlags): Promise<number> {
  const { verifyImages } = await lazy.imageManage();
  const damage = await verifyImages(findFolders(flags).images);
  if (flags.json) printJson(damage);
  else printOut(damage.map(({ name, problem }) => `${familiar(name)}: ${problem}\n`).join(""));
  return damage.length > 0 ? 1 : 0;
}

/** The flags of `images import` and `commit`. */
export interface ChangeFlags extends FolderOptions {
  readonly entrypoint?: string;
  readonly cmd?: string;
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly message?: string;
  readonly author?: string;
}

function words(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  if (!text.startsWith("[")) return ["/bin/sh", "-c", text];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Reported below, like other invalid values.
  }
  if (Array.isArray(value) && value.every((word) => typeof word === "string")) return value;
  throw new InputError(`invalid command ${JSON.stringify(text)}: expected a JSON list of strings`, {
    code: "bad-words",
    facts: { text },
    hint: 'write a list such as ["/bin/app", "-v"], or a line for /bin/sh',
  });
}

function changes({ entrypoint, cmd, env, workdir, user }: ChangeFlags): ImageSettings {
  const settings = { Entrypoint: words(entrypoint), Cmd: words(cmd), Env: env, WorkingDir: workdir, User: user };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Creates an image from a directory, an archive or standard input, and prints its name. */
export async function importImage(flags: ChangeFlags, source: string, name: string): Promise<void> {
  const { importImage } = await lazy.importImage();
  const from = source === "-" ? Deno.stdin.readable : source;
  const options = { changes: changes(flags), message: flags.message };
  const image = await interruptible((signal) =>
    importImage(findFolders(flags).images, from, name, { ...options, signal })
  );
  printOut(familiar(image.name) + "\n");
}

/** Loads images from an archive and prints their names. */
export async function load(flags: FolderOptions & { input?: string }): Promise<void> {
  const { loadImages } = await lazy.loadImages();
  const from = flags.input ?? Deno.stdin.readable;
  const loaded = await interruptible((signal) => loadImages(findFolders(flags).images, from, { signal }));
  printOut(loaded.map(({ name }) => familiar(name) + "\n").join(""));
}

/** The flags of `images save`. */
export interface SaveFlags extends FolderOptions {
  readonly output?: string;
  readonly format?: "oci" | "docker";
}

/** Saves images as an archive. */
export async function save(flags: SaveFlags, ...names: string[]): Promise<void> {
  if (flags.output === undefined && Deno.stdout.isTerminal()) {
    throw new InputError("cannot write an archive to a terminal", {
      code: "bad-target",
      hint: "redirect the output, or use -o FILE",
    });
  }
  const { saveImages } = await lazy.saveImages();
  await saveImages(findFolders(flags).images, names, flags.output ?? Deno.stdout.writable, flags.format ?? "docker");
}

/** Creates an image from a container. */
export async function commit(flags: ChangeFlags, container: string, name: string): Promise<void> {
  const options = { changes: changes(flags), message: flags.message, author: flags.author };
  const { commitContainer } = await lazy.commit();
  // Signals are handled after copying, when a container that was frozen for it runs again.
  passSignals();
  const image = await commitContainer(findFolders(flags), container, name, options);
  printOut(familiar(image.name) + "\n");
}
