/**
 * Blobs from a registry into files: verified while they come, and resumed where they were cut off.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";
import type { Descriptor } from "../oci.ts";
import { type Attempt, attempt, type Registry, type Site } from "./client.ts";
import { failure, type Task, unreachable } from "./failure.ts";

/** How a blob is fetched. */
export interface DownloadOptions {
  /** Ends it; what has come is kept. */
  signal?: AbortSignal;
  /** Whether it is a document, which has to be there soon. Default: false. */
  isDocument?: boolean;
  /** Told how many bytes of the blob are there. */
  onProgress?: (bytes: number) => void;
}

/** Result of a download. */
export interface Downloaded {
  /** How many bytes have come over the network. */
  readonly received: number;
}

type Hash = { update(bytes: Uint8Array): unknown; digest(encoding: "hex"): string };

// A blob that is not complete yet.
interface Part {
  readonly path: string;
  readonly file: Deno.FsFile;
  hash: Hash;
  size: number;
  received: number;
  // The most that it ever was.
  most: number;
  // Whether some of the bytes are not from the site that is asked now.
  inherited: boolean;
}

const CHUNK = 1 << 18;
// After so much more than ever before, a cut connection counts as the first.
const GOT_ON = 1024 * 1024;
const RANGE = /^bytes (\d+)-(\d+)\/(\d+|\*)$/;

async function newHash(): Promise<Hash> {
  const { createHash } = await import("node:crypto");
  return createHash("sha256");
}

async function startAgain(part: Part): Promise<void> {
  await part.file.truncate(0);
  await part.file.seek(0, Deno.SeekMode.Start);
  Object.assign(part, { size: 0, inherited: false, hash: await newHash() });
}

async function takeUp(part: Part, most: number, signal?: AbortSignal): Promise<void> {
  if ((await part.file.stat()).size > most) return await startAgain(part);
  const bytes = new Uint8Array(CHUNK);
  for (let n = await part.file.read(bytes); n !== null; n = await part.file.read(bytes)) {
    signal?.throwIfAborted();
    part.hash.update(bytes.subarray(0, n));
    part.size += n;
  }
  part.most = part.size;
}

function append(part: Part, bytes: Uint8Array): void {
  part.hash.update(bytes);
  try {
    for (let at = 0; at < bytes.length;) at += part.file.writeSync(bytes.subarray(at));
  } catch (error) {
    throw new ImageError(`cannot write ${part.path}: ${messageOf(error)}`, {
      code: "store-write-failed",
      facts: { path: part.path },
      hint: "what has come is kept; the next try goes on from there",
      cause: error,
    });
  }
  part.size += bytes.length;
  part.most = Math.max(part.most, part.size);
  part.received += bytes.length;
}

async function cutOff(part: Part, task: Task, why: string): Promise<ImageError> {
  await startAgain(part);
  return failure(task, "registry-error", why, { facts: { cut: true } });
}

function wrongSize(task: Task, { size }: Descriptor, why: string, cut: boolean): ImageError {
  return failure(task, "size-mismatch", `${why}, and ${size} were announced`, {
    facts: { expected: size, ...(cut ? { cut } : {}) },
    hint: cut ? "what has come is kept; try again" : "the image is not what it says; nothing of this was kept",
  });
}

async function checkAnswer(part: Part, response: Response, blob: Descriptor, at: Attempt): Promise<void> {
  const { task } = at, { status, headers } = response;
  if (status === 416 && part.size > 0) {
    throw await cutOff(part, task, "the registry has no more of it than what is here");
  }
  if (status !== 200 && status !== 206) throw await at.refusal(response);
  if (status === 206) {
    const [, first, , whole] = RANGE.exec(headers.get("content-range") ?? "") ?? [];
    const fits = Number(first) === part.size && (whole === "*" || Number(whole) === blob.size);
    if (!fits) throw await cutOff(part, task, "the registry sends another part of it than it was asked for");
  } else if (part.size > 0) await startAgain(part);
  const length = headers.get("content-length");
  if (length !== null && Number(length) !== blob.size - part.size) {
    const found = part.size + Number(length);
    await startAgain(part);
    throw wrongSize(task, blob, `the registry has ${found} bytes of it`, false);
  }
}

async function receive(part: Part, blob: Descriptor, at: Attempt, onProgress?: (bytes: number) => void): Promise<void> {
  const headers: Record<string, string> = part.size > 0 ? { range: `bytes=${part.size}-` } : {};
  const { response } = await at.request({ path: `blobs/${blob.digest}`, headers, actions: "pull" });
  await checkAnswer(part, response, blob, at);
  const reader = response.body?.getReader({ mode: "byob" });
  // The same memory for all that comes: the garbage of large blobs would be collected late.
  for (let buffer = new ArrayBuffer(CHUNK);;) {
    const next = await reader?.read(new Uint8Array(buffer)).catch((error) => {
      throw unreachable(at.task, error);
    });
    if (!next?.value || next.done) break;
    const bytes = next.value;
    buffer = bytes.buffer;
    at.watch.progress(bytes.length);
    if (part.size + bytes.length > blob.size) {
      await startAgain(part);
      throw wrongSize(at.task, blob, "the registry sends more bytes", false);
    }
    append(part, bytes);
    onProgress?.(part.size);
  }
  if (part.size < blob.size) throw wrongSize(at.task, blob, `it ended after ${part.size} bytes`, true);
}

async function verify(part: Part, blob: Descriptor, task: Task): Promise<void> {
  const found = `sha256:${part.hash.digest("hex")}`;
  if (found === blob.digest) return;
  // It may be wrong in what was here before. What has all come from one site would be wrong again.
  const cut = part.inherited;
  await startAgain(part);
  throw failure(task, "digest-mismatch", `its digest is ${found}`, {
    facts: { expected: blob.digest, found, cut },
    hint: "the registry, or somebody in between, has sent something else; nothing of it was kept",
  });
}

/**
 * Fetches a blob into the file `path`, which may hold the beginning of it already. At the end the file is complete and
 * has the digest and the size of `blob`; where it fails or is ended, the file holds what can be resumed. Nobody else may
 * write it meanwhile.
 *
 * @throws {ImageError} `digest-mismatch`, `size-mismatch`, `store-write-failed`, `registry-unreachable`,
 * `registry-refused`, `registry-error`.
 */
export async function downloadBlob(
  registry: Registry,
  repository: string,
  blob: Descriptor,
  path: string,
  { signal, onProgress, isDocument }: DownloadOptions = {},
): Promise<Downloaded> {
  using file = await Deno.open(path, { read: true, write: true, create: true });
  const part: Part = { path, file, hash: await newHash(), size: 0, most: 0, received: 0, inherited: false };
  await takeUp(part, blob.size, signal);
  if (part.size > 0) onProgress?.(part.size);
  let before = 0, site: Site | undefined;
  // Not what comes again and again: a registry could send the beginning for ever.
  const gotOn = () => part.most - before >= GOT_ON;
  await attempt(registry, { what: `fetch blob ${blob.digest}`, repository }, async (at) => {
    before = part.most;
    // The bytes of another site may be corrupt too.
    if (at.site !== site) part.inherited = part.size > 0;
    site = at.site;
    if (part.size < blob.size) await receive(part, blob, at, onProgress);
    await verify(part, blob, at.task);
  }, { signal, gotOn, isDocument });
  return { received: part.received };
}
