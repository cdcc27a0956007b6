/**
 * A blob and a manifest that registries of tests have, and how they are asked for.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import { MEDIA } from "../../lib/oci.ts";
import { openRegistry, type RegistryOptions } from "../../lib/registry/client.ts";
import { downloadBlob } from "../../lib/registry/download.ts";
import { type Fetched, fetchManifest } from "../../lib/registry/manifests.ts";
import { type Answerer, apart, describe, type FaultyRegistry, noise } from "./registry.ts";

/** Somebody with a password. */
export const ALICE = { username: "alice", password: "pässword", from: "the test" };
/** A blob. */
export const BLOB = noise(300_000);
/** Its descriptor. */
export const BLOB_DESCRIPTOR = await describe(BLOB);

/** Checks that `work` fails with that code and message; the error. */
export async function fails(code: string, pattern: RegExp, work: Promise<unknown>): Promise<ImageError> {
  const error = await work.then(() => undefined, (error) => error);
  assert.ok(error instanceof ImageError, `it throws ${error}`);
  assert.equal(error.code, code, error.message);
  assert.match(error.message, pattern);
  return error;
}

/** Calls `use` with the path of an empty file. */
export async function withFile<T>(use: (path: string) => Promise<T>): Promise<T> {
  const path = Deno.makeTempFileSync({ prefix: "sauropod-blob-" });
  try {
    return await use(path);
  } finally {
    Deno.removeSync(path);
  }
}

/** Fetches BLOB from `registry`; what is in the file at the end is returned where it succeeds. */
export function fetchBlob(
  registry: FaultyRegistry,
  path: string,
  options: RegistryOptions = apart(),
  blob = BLOB_DESCRIPTOR,
) {
  return downloadBlob(openRegistry(registry.host, options), "a/b", blob, path, { signal: options.signal });
}

/** Where the range begins that is asked for. */
export function rangeStart(request: Request): number {
  return Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
}

/** A good answer, with ranges. */
export function serveBlob(request: Request, bytes = BLOB): Response {
  const from = rangeStart(request);
  if (from === 0) return new Response(bytes);
  if (from >= bytes.length) return new Response(null, { status: 416 });
  return new Response(bytes.subarray(from), {
    status: 206,
    headers: { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` },
  });
}

/** A manifest. */
export const MANIFEST = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.manifest, config: {}, layers: [] });

/** Answers with a manifest. */
export function serveManifest(
  text = MANIFEST,
  headers: Record<string, string> = { "content-type": MEDIA.manifest },
): Answerer {
  return () => new Response(text, { headers });
}

/** Fetches the manifest that a registry has. */
export function asManifest(host: string, options: RegistryOptions): Promise<Fetched> {
  return fetchManifest(openRegistry(host, options), { repository: "a/b", tag: "1" });
}
