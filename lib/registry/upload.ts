/**
 * Blobs to a registry: not at all where they are there, by reference from another repository, or byte by byte.
 *
 * @module
 */

import type { Descriptor } from "../oci.ts";
import { type Attempt, attempt, type Registry } from "./client.ts";
import { failure } from "./failure.ts";
import { checkedTarget } from "./http.ts";

/** How a blob is pushed. */
export interface UploadOptions {
  /** Another repository of this registry that may have the blob. */
  mountFrom?: string;
  /** Ends it. */
  signal?: AbortSignal;
  /** Told how many bytes of the blob have been sent. */
  onProgress?: (bytes: number) => void;
}

/** How a blob has come to be there: it was already, from another repository, or it was sent. */
export type Uploaded = "there" | "mounted" | "sent";

// Larger ones are streamed, whose length fetch can't say; they go as Docker's do, which every registry takes.
const MONOLITHIC = 4 * 1024 * 1024;

async function isThere({ request, refusal }: Attempt, { digest }: Descriptor, actions: "pull" | "pull,push") {
  const { response } = await request({ method: "HEAD", path: `blobs/${digest}`, actions });
  await response.body?.cancel();
  if (response.ok || response.status === 404) return response.ok;
  throw await refusal(response);
}

/**
 * Reports whether a registry has a blob.
 *
 * @throws {ImageError} `registry-error`, `registry-refused`, `registry-unreachable`.
 */
export function hasBlob(registry: Registry, repository: string, blob: Descriptor): Promise<boolean> {
  const task = { what: `look for blob ${blob.digest}`, repository };
  return attempt(registry, task, (at) => isThere(at, blob, "pull"), { originOnly: true });
}

function locationOf(response: Response, { site, task }: Attempt): URL {
  const base = new URL(`/v2/${site.place.prefix}${task.repository}/blobs/uploads/`, site.place.origin);
  const location = response.headers.get("location");
  const url = location === null ? null : URL.parse(location, base);
  if (url) return checkedTarget(url, base, task);
  throw failure(task, "registry-error", "the registry sent no upload location");
}

async function begin(at: Attempt, { digest }: Descriptor, mountFrom?: string): Promise<URL | undefined> {
  const query = mountFrom === undefined ? "" : `?${new URLSearchParams({ mount: digest, from: mountFrom })}`;
  const { response } = await at.request({
    method: "POST",
    path: `blobs/uploads/${query}`,
    body: () => new Uint8Array(),
    actions: "pull,push",
    reads: mountFrom === undefined ? [] : [mountFrom],
  });
  if (response.status !== 201 && response.status !== 202) throw await at.refusal(response);
  await response.body?.cancel();
  return response.status === 201 ? undefined : locationOf(response, at);
}

// Upload in progress. fetch leaves a stream open where the response comes before its end.
interface Sending {
  close(): Promise<void>;
  error?: unknown;
}

function sendFrom(source: ReadableStream<Uint8Array>, sending: Sending, onBytes: (count: number) => void) {
  const reader = source.getReader();
  sending.close = () => reader.cancel().catch(() => {});
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        onBytes(value.length);
        controller.enqueue(value);
      } catch (error) {
        sending.error = error;
        throw error;
      }
    },
    cancel: () => sending.close(),
  });
}

async function finish(at: Attempt, blob: Descriptor, location: URL, body?: () => BodyInit): Promise<void> {
  const url = new URL(location);
  url.searchParams.set("digest", blob.digest);
  const { response } = await at.request({
    method: "PUT",
    path: url,
    headers: { "content-type": "application/octet-stream" },
    actions: "pull,push",
    ...(body ? { body } : {}),
  });
  if (response.status !== 201 && response.status !== 204) throw await at.refusal(response);
  await response.body?.cancel();
}

async function stream(at: Attempt, location: URL, body: () => ReadableStream<Uint8Array>): Promise<URL> {
  const { response } = await at.request({
    method: "PATCH",
    path: location,
    headers: { "content-type": "application/octet-stream" },
    actions: "pull,push",
    body,
  });
  if (response.status !== 202 && response.status !== 204) throw await at.refusal(response);
  await response.body?.cancel();
  return locationOf(response, at);
}

/**
 * Pushes a blob, unless it is there already. `open` opens its content, anew for every try.
 *
 * @throws {ImageError} `registry-error`, `registry-refused`, `registry-unreachable`.
 */
export function pushBlob(
  registry: Registry,
  repository: string,
  blob: Descriptor,
  open: () => ReadableStream<Uint8Array>,
  { mountFrom, signal, onProgress }: UploadOptions = {},
): Promise<Uploaded> {
  return attempt(registry, { what: `push blob ${blob.digest}`, repository }, async (at) => {
    if (await isThere(at, blob, "pull,push")) return "there";
    const location = await begin(at, blob, mountFrom);
    if (!location) return "mounted";
    const sending: Sending = { close: () => Promise.resolve() };
    const content = () => {
      let sent = 0;
      return sendFrom(open(), sending, (count) => {
        at.watch.progress(count);
        onProgress?.(sent += count);
      });
    };
    try {
      if (blob.size <= MONOLITHIC) {
        const bytes = await new Response(content()).arrayBuffer();
        await finish(at, blob, location, () => bytes);
      } else await finish(at, blob, await stream(at, location, content));
    } catch (error) {
      // An error of reading the blob here is not the registry's.
      throw sending.error ?? error;
    } finally {
      await sending.close();
    }
    return "sent";
  }, { originOnly: true, signal });
}
