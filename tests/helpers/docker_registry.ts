/**
 * Debian's docker-registry, on loopback.
 *
 * @module
 */

import assert from "node:assert/strict";

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
