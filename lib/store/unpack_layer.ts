/**
 * Unpacks the layers of images, each in threads of its own: one takes the blob apart, another decompresses it.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { fileChunks } from "../tar/chunks.ts";
import { decompress } from "../tar/decompress.ts";
import { applyLayer, type LayerTask, type UnpackedLayer } from "./apply_layer.ts";
import type { FromLayer, ToLayer } from "./layer_worker.ts";
import { startThread, type Thread, unpackError } from "../tar/thread.ts";
import { DEFAULT_LIMITS, type UnpackLimits } from "../tar/unpack_refusals.ts";

export type { UnpackedLayer } from "./apply_layer.ts";

/** How much a layer may hold. */
export interface LayerLimits extends UnpackLimits {
  /** How many times its size a blob may grow when it is decompressed; not below 64 MiB. Default: 1100, what gzip can reach. */
  ratio: number;
}

/** How to unpack a layer. */
export interface UnpackLayerOptions {
  /** The digest that the uncompressed layer must have, such as `sha256:…`. Default: any. */
  diffId?: string;
  /** What to refuse. Default: see {@linkcode LayerLimits}. */
  limits?: Partial<LayerLimits>;
  /** Stops the work. */
  signal?: AbortSignal;
}

const ALWAYS_ALLOWED = 64 * 2 ** 20;
/** Below this, starting threads takes longer than the work. */
const SMALL_BLOB = 1 << 21;

function layerName(blobPath: string): string {
  const name = blobPath.slice(blobPath.lastIndexOf("/") + 1);
  return /^[0-9a-f]{64}$/.test(name) ? `sha256:${name}` : blobPath;
}

function about(layer: string, error: unknown): unknown {
  if (!(error instanceof ImageError)) return error;
  const { code, hint, facts } = error;
  return new ImageError(`layer ${layer}: ${error.message}`, { code, hint, facts: { ...facts, layer }, cause: error });
}

/** Returns the two threads that a layer takes; undefined if there can be none. */
async function startThreads(): Promise<[Thread, Thread] | undefined> {
  const modules = ["./layer_worker.ts", "../tar/inflate_worker.ts"].map((path) => new URL(path, import.meta.url));
  const threads = await Promise.all(modules.map(startThread));
  // Not one as the other's child: Deno takes a second to start those.
  const [layer, inflate] = threads;
  if (layer && inflate) return [layer, inflate];
  for (const thread of threads) thread?.end();
}

async function applyApart([layer, inflate]: [Thread, Thread], task: LayerTask, signal?: AbortSignal) {
  const tell = (message: ToLayer, ...ports: MessagePort[]): void => layer.port.postMessage(message, ports);
  const abort = (): void => tell("abort");
  const answer = new Promise<FromLayer>((resolve) => layer.port.onmessage = (event) => resolve(event.data));
  const link = new MessageChannel();
  signal?.addEventListener("abort", abort);
  try {
    inflate.port.postMessage(task.blobPath, [link.port1]);
    tell(task, link.port2);
    if (signal?.aborted) abort();
    const message = await Promise.race([answer, layer.failure, inflate.failure]);
    signal?.throwIfAborted();
    if (message instanceof Error) throw message;
    if ("error" in message) throw unpackError(message.error);
    return message.done;
  } finally {
    signal?.removeEventListener("abort", abort);
    layer.end();
    inflate.end();
  }
}

/**
 * Unpacks the layer in the file `blobPath`, be it gzip, zstd or plain, to the empty directory `folder`, in the form that
 * overlayfs wants. Devices are made, if the caller is root. Several layers can be unpacked at once, and the caller's
 * thread stays free. What fails leaves a part of the layer.
 *
 * Throws {@linkcode ImageError}: `digest-mismatch`, those of `decompress` and those of `unpack`; its `facts.layer` is the
 * blob's digest or path. Throws the reason of `signal` if that is aborted.
 *
 * @param _mediaType What the manifest says that the blob is. The blob's own first bytes count.
 */
export async function unpackLayer(
  blobPath: string,
  _mediaType: string,
  folder: string,
  options: UnpackLayerOptions = {},
): Promise<UnpackedLayer> {
  const { diffId, signal } = options, { ratio = 1100, ...limits } = options.limits ?? {};
  signal?.throwIfAborted();
  const { size } = await Deno.stat(blobPath);
  const bytes = Math.min(limits.bytes ?? DEFAULT_LIMITS.bytes, Math.max(ALWAYS_ALLOWED, size * ratio));
  const task = { blobPath, folder, diffId, limits: { ...limits, bytes } };
  try {
    const threads = size < SMALL_BLOB ? undefined : await startThreads();
    if (threads) return await applyApart(threads, task, signal);
    return await applyLayer(task, decompress(fileChunks(blobPath, signal)), signal);
  } catch (error) {
    throw about(layerName(blobPath), error);
  }
}
