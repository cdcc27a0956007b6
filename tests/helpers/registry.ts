/**
 * A registry on loopback whose faults a test writes itself, and what it serves.
 *
 * @module
 */

import type { RegistryOptions } from "../../lib/registry/client.ts";
import type { Credentials } from "../../lib/registry/credentials.ts";
import type { Descriptor } from "../../lib/oci.ts";
import type { Clock } from "../../lib/registry/retry.ts";

/** What a faulty registry was asked. */
export interface Asked {
  /** The method. */
  method: string;
  /** The path with the query. */
  path: string;
  /** Its headers. */
  headers: Headers;
}

/** A registry whose answers a test writes. */
export interface FaultyRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** All that was asked, in order. */
  readonly asked: readonly Asked[];
}

/** Answers a request; `nth` counts the requests of the same method and path from 1. */
export type Answerer = (request: Request, nth: number) => Response | Promise<Response>;

/** Starts a registry that answers as `answer` says, and 500 where it throws. */
export function serveFaulty(answer: Answerer): FaultyRegistry {
  const asked: Asked[] = [];
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
    onError: (error) => new Response(String(error), { status: 500 }),
  }, (request) => {
    const { pathname, search } = new URL(request.url);
    const path = pathname + search;
    asked.push({ method: request.method, path, headers: request.headers });
    return answer(request, asked.filter((one) => one.method === request.method && one.path === path).length);
  });
  return { host: `127.0.0.1:${server.addr.port}`, asked, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** A body that sends `bytes`, and then is cut off. */
export function cutAfter(bytes: Uint8Array<ArrayBuffer>, length: number): Response {
  let sent = false;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (!sent) controller.enqueue(bytes);
      // Otherwise what was sent may not have left.
      else await new Promise((resolve) => setTimeout(resolve, 50)).then(() => controller.error(new Error("cut")));
      sent = true;
    },
  });
  return new Response(body, { headers: { "content-length": String(length) } });
}

/** Bytes that look like nothing, the same for the same seed. */
export function noise(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  let x = seed;
  return Uint8Array.from({ length: size }, () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x & 255;
  });
}

/** The descriptor of some bytes. */
export async function describe(
  bytes: Uint8Array<ArrayBuffer>,
  mediaType = "application/octet-stream",
): Promise<Descriptor> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { mediaType, digest: `sha256:${hash.toHex()}`, size: bytes.length };
}

/** A clock that waits for nothing, and notes for how long it would have. */
export function hastyClock(): Clock & { waits: number[] } {
  const waits: number[] = [];
  return {
    waits,
    now: Date.now,
    random: () => 0.5,
    sleep: (ms) => Promise.resolve(void waits.push(ms)),
  };
}

/** Options that read nothing of the machine: no configuration, and these credentials, or none. */
export function apart(more: RegistryOptions = {}, credentials?: Credentials): RegistryOptions {
  return {
    configuration: { insecure: [], mirrors: {} },
    credentials: () => Promise.resolve(credentials),
    clock: hastyClock(),
    ...more,
  };
}

/** Makes an OCI layout with the image `one` at `folder`: a configuration and one plain layer for each of `contents`. */
export async function makeLayout(folder: string, contents: readonly Uint8Array<ArrayBuffer>[]): Promise<void> {
  Deno.mkdirSync(`${folder}/blobs/sha256`, { recursive: true });
  const add = async (bytes: Uint8Array<ArrayBuffer>, mediaType: string): Promise<Descriptor> => {
    const descriptor = await describe(bytes, mediaType);
    Deno.writeFileSync(`${folder}/blobs/sha256/${descriptor.digest.slice(7)}`, bytes);
    return descriptor;
  };
  const addJson = (value: unknown, mediaType: string) =>
    add(new TextEncoder().encode(JSON.stringify(value)), mediaType);
  const layers = await Promise.all(contents.map((one) => add(one, "application/vnd.oci.image.layer.v1.tar")));
  const config = await addJson({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
  }, "application/vnd.oci.image.config.v1+json");
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await addJson({ schemaVersion: 2, mediaType, config, layers }, mediaType);
  const annotations = { "org.opencontainers.image.ref.name": "one" };
  Deno.writeTextFileSync(`${folder}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  Deno.writeTextFileSync(
    `${folder}/index.json`,
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
}
