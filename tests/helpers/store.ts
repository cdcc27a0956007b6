/**
 * A real registry on loopback, Debian's docker-registry, and images in it that were put there by plain requests.
 *
 * @module
 */

import { MEDIA } from "../../lib/oci.ts";
import { type Item, tar } from "./tar.ts";

/** A registry. */
export interface TestRegistry {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  /** The lines of its log so far, one for each request. */
  requests(): string[];
  /** Ends it and removes its files. */
  close(): void;
}

interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const encoder = new TextEncoder();
const APPLETS = ["sh", "id", "ls", "echo", "sleep", "sort", "wc", "pwd"];
const ENTRY = `#!/bin/sh\necho entry $1 from $(id -u) in $(pwd) with $COLOUR\n`;

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
}

async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `sha256:${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
}

function folder(name: string): Item {
  return { name: `${name}/`, type: "5", mode: 0o755 };
}

function rootfs(): Item[] {
  return [
    ...["bin", "etc", "data", "srv", "layers"].map(folder),
    { name: "bin/busybox", body: Deno.readFileSync("/bin/busybox"), mode: 0o755 },
    ...APPLETS.map((name): Item => ({ name: `bin/${name}`, type: "2", target: "busybox" })),
    { name: "etc/passwd", body: "root:x:0:0:root:/root:/bin/sh\n" },
    { name: "data/old", body: "old" },
    { name: "gone", body: "gone" },
  ];
}

class Pusher {
  constructor(private readonly base: string) {}

  async blob(bytes: Uint8Array<ArrayBuffer>, mediaType: string): Promise<Blob> {
    const digest = await digestOf(bytes);
    const begun = await fetch(`${this.base}/blobs/uploads/`, { method: "POST" });
    await begun.body?.cancel();
    const location = new URL(begun.headers.get("location") ?? "", this.base);
    location.searchParams.set("digest", digest);
    await this.put(location, bytes, "application/octet-stream");
    return { mediaType, digest, size: bytes.length };
  }

  private async put(url: string | URL, body: Uint8Array<ArrayBuffer>, type: string): Promise<void> {
    const response = await fetch(url, { method: "PUT", body, headers: { "content-type": type } });
    const text = await response.text();
    if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  }

  async manifest(value: unknown, mediaType: string, tag?: string): Promise<Blob> {
    const bytes = encoder.encode(JSON.stringify(value));
    const digest = await digestOf(bytes);
    await this.put(`${this.base}/manifests/${tag ?? digest}`, bytes, mediaType);
    return { mediaType, digest, size: bytes.length };
  }

  async image(layers: readonly Item[][], config: unknown, tag?: string, architecture = "amd64"): Promise<Blob> {
    const tars = layers.map((items) => tar(...items));
    const blobs: Blob[] = [];
    for (const bytes of tars) blobs.push(await this.blob(await gzip(bytes), MEDIA.layerGzip));
    const diffIds = await Promise.all(tars.map(digestOf));
    const document = { os: "linux", architecture, config, rootfs: { type: "layers", diff_ids: diffIds } };
    const described = await this.blob(encoder.encode(JSON.stringify(document)), MEDIA.config);
    const manifest = { schemaVersion: 2, mediaType: MEDIA.manifest, config: described, layers: blobs };
    return await this.manifest(manifest, MEDIA.manifest, tag);
  }
}

async function fill(address: string): Promise<void> {
  const at = (repository: string): Pusher => new Pusher(`http://${address}/v2/${repository}`);
  const settings = { Entrypoint: ["/entry"], Cmd: ["hello"], Env: ["COLOUR=blue"], WorkingDir: "/srv", User: "1000" };
  const changes: Item[] = [{ name: ".wh.gone" }, folder("data"), { name: "data/.wh..wh..opq" }, {
    name: "data/new",
    body: "new",
  }];
  await at("app").image([rootfs(), changes, [{ name: "entry", body: ENTRY, mode: 0o755 }]], settings, "1");
  const many = Array.from({ length: 120 }, (_, i): Item[] => [{ name: `layers/${i}`, body: `${i}` }]);
  await at("tall").image([rootfs(), ...many], {}, "1");
  const manifests = [];
  for (const architecture of ["amd64", "arm64"]) {
    const image = await at("multi").image([rootfs(), [{ name: architecture }]], {}, undefined, architecture);
    manifests.push({ ...image, platform: { os: "linux", architecture } });
  }
  await at("multi").manifest({ schemaVersion: 2, mediaType: MEDIA.index, manifests }, MEDIA.index, "1");
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function untilReady(address: string): Promise<void> {
  for (let tries = 0; tries < 250; tries++) {
    const answer = await fetch(`http://${address}/v2/`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`docker-registry does not answer on ${address}`);
}

/** Starts a registry with the images `app:1`, `multi:1` and `tall:1`. */
export async function openTestRegistry(): Promise<TestRegistry> {
  const home = Deno.makeTempDirSync({ prefix: "sauropod-registry-" });
  const address = `127.0.0.1:${freePort()}`;
  Deno.writeTextFileSync(
    `${home}/config.yml`,
    `version: 0.1\nlog: { accesslog: { disabled: false } }\nstorage: { filesystem: { rootdirectory: ${home}/data } }\nhttp: { addr: "${address}" }\n`,
  );
  const log = `${home}/log`;
  const child = new Deno.Command("sh", {
    args: ["-c", `exec docker-registry serve ${home}/config.yml >${log} 2>&1`],
    stdin: "null",
  }).spawn();
  child.unref();
  const close = (): void => {
    child.kill("SIGKILL");
    Deno.removeSync(home, { recursive: true });
  };
  try {
    await untilReady(address);
    await fill(address);
  } catch (error) {
    console.error(Deno.readTextFileSync(log).slice(-2000));
    close();
    throw error;
  }
  return {
    address,
    requests: () => Deno.readTextFileSync(log).split("\n").filter((line) => line.includes("HTTP/1.1")),
    close,
  };
}
