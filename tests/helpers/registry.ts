/**
 * Registries for tests, all on loopback: one whose faults the test writes itself, and Debian's docker-registry.
 *
 * @module
 */

import assert from "node:assert/strict";
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

/** A user of {@linkcode startRegistry} with a password. */
export const USER = { username: "alice", password: "s3cret" } as const;
// bcrypt of it: docker-registry takes nothing else.
const HTPASSWD = "alice:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

/** Debian's docker-registry. */
export interface RealRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** A folder of its own, removed at the end. */
  readonly folder: string;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function isUp(hostname: string, port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname, port })).close();
    return true;
  } catch {
    return false;
  }
}

/** How to start docker-registry. */
export interface RealOptions {
  /** Whether it asks for the password of {@linkcode USER}. Default: false. */
  password?: boolean;
  /** Files with its certificate and key. Default: it has no TLS. */
  tls?: { certificate: string; key: string };
  /** The address on which it listens. Default: 127.0.0.1. */
  address?: string;
}

/** Starts docker-registry. */
export async function startRegistry(options: RealOptions = {}): Promise<RealRegistry> {
  const { password = false, tls, address = "127.0.0.1" } = options;
  const folder = Deno.makeTempDirSync({ prefix: "sauropod-registry-" });
  const port = freePort(), host = `${address}:${port}`;
  Deno.writeTextFileSync(`${folder}/htpasswd`, HTPASSWD);
  const configuration = {
    version: 0.1,
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: `${folder}/data` }, delete: { enabled: true } },
    http: { addr: host, ...(tls ? { tls } : {}) },
    ...(password ? { auth: { htpasswd: { realm: "test", path: `${folder}/htpasswd` } } } : {}),
  };
  // JSON is YAML.
  Deno.writeTextFileSync(`${folder}/config.yml`, JSON.stringify(configuration));
  const child = new Deno.Command("docker-registry", {
    args: ["serve", `${folder}/config.yml`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  for (let tries = 0; !await isUp(address, port); tries++) {
    assert.ok(tries < 100, "docker-registry does not answer");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    host,
    folder,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      Deno.removeSync(folder, { recursive: true });
    },
  };
}

/** Runs a program to its end and returns what it wrote; it has to succeed. */
export async function succeed(words: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const [program = "", ...args] = words;
  const { success, stdout, stderr } = await new Deno.Command(program, { args, env, stdin: "null" }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(success, `${words.join(" ")}: ${text(stdout)}${text(stderr)}`);
  return text(stdout);
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
