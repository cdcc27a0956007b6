/**
 * Manifests at a registry: fetched and verified, looked up, and pushed.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { type Descriptor, digestOf, MAX_DOCUMENT_BYTES, MEDIA } from "../oci.ts";
import { type Attempt, attempt, type Registry } from "./client.ts";
import { failure, quote, readBytes, type Task, unreachable } from "./failure.ts";
import type { Reference } from "./reference.ts";

/** A manifest or index as it came. */
export interface Fetched {
  /** Its descriptor; the digest is that of its bytes. */
  readonly descriptor: Descriptor;
  /** The document. */
  readonly text: string;
}

/** Tag or digest of a manifest. */
export type ManifestName = Pick<Reference, "repository" | "tag" | "digest">;

const TOO_LARGE = `it is larger than ${MAX_DOCUMENT_BYTES >> 20} MiB`;
const TYPES: readonly string[] = [MEDIA.index, MEDIA.manifest, MEDIA.dockerList, MEDIA.dockerManifest];
// Content types of plain file servers.
const ANY_TYPES: readonly string[] = ["", "application/json", "application/octet-stream", "text/plain"];
const DIGEST = /^sha256:[0-9a-f]{64}$/;

function nameOf({ tag, digest }: ManifestName): string {
  return digest ?? tag ?? "latest";
}

function contentType(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

function typeOf(text: string, response: Response, task: Task): string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw failure(task, "image-malformed", "it is not JSON");
  }
  const declared = typeof document === "object" && document !== null && "mediaType" in document
    ? document.mediaType
    : undefined;
  const type = contentType(response);
  const known = ANY_TYPES.includes(type) ? declared : type;
  if (typeof known !== "string" || !TYPES.includes(known)) {
    const shown = typeof known === "string" ? quote(known) : "nothing";
    throw failure(task, "image-unsupported", `its type is ${shown}, which is neither an image nor a list of images`, {
      hint: "only OCI images and Docker's schema 2 can be used",
    });
  }
  // A document that tools can read in two ways is refused.
  if (declared !== undefined && declared !== known) {
    const said = typeof declared === "string" ? quote(declared) : "another type";
    throw failure(task, "image-malformed", `it says that it is ${said}, and the registry that it is ${quote(known)}`);
  }
  return known;
}

async function notFoundOr(response: Response, { task, refusal }: Attempt): Promise<ImageError> {
  const error = await refusal(response);
  if (response.status !== 404) return error;
  return new ImageError(error.message, {
    code: "image-not-found",
    facts: error.facts,
    hint: `check the name and the tag; is it at ${task.host}?`,
  });
}

function checkDigest(task: Task, found: string, wanted: string | undefined, by: string): void {
  if (wanted === undefined || wanted === found) return;
  throw failure(task, "digest-mismatch", `its digest is ${found}, and not ${wanted}, as ${by}`, {
    hint: "the registry, or somebody in between, has sent something else; nothing of it was kept",
    facts: { expected: wanted, found },
  });
}

async function read(response: Response, at: Attempt): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer> | undefined;
  try {
    bytes = await readBytes(response, MAX_DOCUMENT_BYTES, at.watch.progress);
  } catch (error) {
    throw unreachable(at.task, error);
  }
  if (bytes) return bytes;
  throw failure(at.task, "image-malformed", TOO_LARGE);
}

function decode(bytes: Uint8Array, task: Task): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw failure(task, "image-malformed", "it is not UTF-8");
  }
}

/**
 * Fetches a manifest or an index by its digest, or else by its tag. Its bytes have the digest that was asked for and
 * that the registry says; with `expected`, the size and the type of that descriptor too.
 *
 * @throws {ImageError} `image-not-found`, `digest-mismatch`, `size-mismatch`, `image-malformed`, `image-unsupported`
 * and those of registries.
 */
export function fetchManifest(registry: Registry, name: ManifestName, expected?: Descriptor): Promise<Fetched> {
  const wanted = expected?.digest ?? name.digest;
  const by = wanted ?? nameOf(name);
  return attempt(registry, { what: `fetch manifest ${by}`, repository: name.repository }, async (at) => {
    const { task } = at;
    const headers = { accept: TYPES.join(", ") };
    if (expected && expected.size > MAX_DOCUMENT_BYTES) throw failure(task, "image-malformed", TOO_LARGE);
    const { response } = await at.request({ path: `manifests/${by}`, headers, actions: "pull" });
    if (response.status !== 200) throw await notFoundOr(response, at);
    const bytes = await read(response, at);
    const digest = await digestOf(bytes);
    checkDigest(task, digest, wanted, "was asked for");
    const said = response.headers.get("docker-content-digest");
    if (said !== null && DIGEST.test(said)) checkDigest(task, digest, said, "the registry says");
    if (expected && expected.size !== bytes.length) {
      throw failure(task, "size-mismatch", `it has ${bytes.length} bytes, and ${expected.size} were announced`);
    }
    const text = decode(bytes, task);
    const mediaType = typeOf(text, response, task);
    if (expected && expected.mediaType !== mediaType) {
      throw failure(task, "image-malformed", `it is ${mediaType}, and ${quote(expected.mediaType)} was announced`);
    }
    return { descriptor: { mediaType, digest, size: bytes.length }, text };
  }, { isDocument: true });
}

/**
 * Asks which manifest a name stands for now, without fetching it, which registries do not count. The answer is only what
 * the registry says; `undefined` if it does not say.
 *
 * @throws {ImageError} `image-not-found`, and those of registries.
 */
export function lookUpManifest(registry: Registry, name: ManifestName): Promise<string | undefined> {
  const by = nameOf(name);
  return attempt(registry, { what: `look up manifest ${by}`, repository: name.repository }, async (at) => {
    const headers = { accept: TYPES.join(", ") };
    const { response } = await at.request({ method: "HEAD", path: `manifests/${by}`, headers, actions: "pull" });
    await response.body?.cancel();
    if (response.status !== 200) throw await notFoundOr(response, at);
    const digest = response.headers.get("docker-content-digest");
    return digest !== null && DIGEST.test(digest) ? digest : undefined;
  }, { isDocument: true });
}

/**
 * Pushes a manifest or an index by its tag, or else by its digest. What it names must have been pushed before.
 *
 * @throws {ImageError} `digest-mismatch`, `registry-error`, `registry-refused`, `registry-unreachable`.
 */
export async function pushManifest(
  registry: Registry,
  name: ManifestName,
  { text, mediaType }: { text: string; mediaType: string },
): Promise<Descriptor> {
  const bytes = new TextEncoder().encode(text);
  const digest = await digestOf(bytes);
  const by = name.tag ?? digest;
  return await attempt(registry, { what: `push manifest ${by}`, repository: name.repository }, async (at) => {
    if (name.digest !== undefined) checkDigest(at.task, digest, name.digest, "it was to be pushed");
    const { response } = await at.request({
      method: "PUT",
      path: `manifests/${by}`,
      headers: { "content-type": mediaType },
      body: () => bytes,
      actions: "pull,push",
    });
    if (response.status !== 201 && response.status !== 200) throw await at.refusal(response);
    await response.body?.cancel();
    const said = response.headers.get("docker-content-digest");
    if (said !== null && DIGEST.test(said)) checkDigest(at.task, digest, said, "the registry says");
    return { mediaType, digest, size: bytes.length };
  }, { originOnly: true });
}
