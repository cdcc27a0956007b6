/**
 * Credentials that `docker login`, `podman login` and `skopeo login` have put down.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";

/** What proves who one is: a name and a password, or a token that stands for both. */
export type Credentials =
  | {
    /** The name of the user. */
    readonly username: string;
    /** The password. */
    readonly password: string;
    /** Where they are from, for errors. */
    readonly from: string;
  }
  | {
    /** What the token server exchanges for tokens. */
    readonly identityToken: string;
    /** Where it is from, for errors. */
    readonly from: string;
  };

const HELPER = /^[A-Za-z0-9._-]+$/;
const HELPER_PATIENCE = 30_000;
const DOCKER_HUB = ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"];

function files(): string[] {
  const named = Deno.env.get("REGISTRY_AUTH_FILE");
  if (named) return [named];
  const home = Deno.env.get("HOME");
  const runtime = Deno.env.get("XDG_RUNTIME_DIR") || `/run/containers/${Deno.uid()}`;
  const docker = Deno.env.get("DOCKER_CONFIG") || (home && `${home}/.docker`);
  return [
    Deno.env.get("XDG_RUNTIME_DIR") ? `${runtime}/containers/auth.json` : `${runtime}/auth.json`,
    ...(docker ? [`${docker}/config.json`] : []),
  ];
}

// The messages never quote a file: what cannot be read as JSON may still be a password.
function unusable(what: string, why: string): ImageError {
  return new ImageError(`the credentials of ${what} cannot be used: ${why}`, {
    code: "credentials-unusable",
    facts: { what },
    hint: "log in again with `docker login` or `skopeo login`",
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function read(path: string): Record<string, unknown> | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw unusable(path, messageOf(error));
  }
  let value: unknown;
  try {
    value = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    throw unusable(path, "the file is no JSON");
  }
  if (!isObject(value)) throw unusable(path, "the file is no JSON object");
  return value;
}

// The most special first: skopeo has credentials for parts of a registry as well.
function keysFor(registry: string, repository: string): string[] {
  const parts = repository.split("/");
  const nested = parts.map((_, i) => [registry, ...parts.slice(0, parts.length - i)].join("/"));
  const hosts = registry === "docker.io" ? DOCKER_HUB : [registry];
  const spelled = (
    host: string,
  ) => [
    host,
    ...["https://", "http://"].flatMap((s) => ["", "/", "/v1/", "/v2/", "/v1", "/v2"].map((p) => `${s}${host}${p}`)),
  ];
  return [...nested, ...hosts.flatMap(spelled)];
}

function lookUp(table: unknown, keys: readonly string[]): unknown {
  if (!isObject(table)) return undefined;
  const key = keys.find((key) => Object.hasOwn(table, key));
  return key === undefined ? undefined : table[key];
}

function decode(auth: string, path: string): { username: string; password: string } | undefined {
  let text: string;
  try {
    text = new TextDecoder().decode(Uint8Array.from(atob(auth), (c) => c.charCodeAt(0)));
  } catch {
    throw unusable(path, `an "auth" is no base64`);
  }
  const colon = text.indexOf(":");
  if (colon < 0) throw unusable(path, `an "auth" is not NAME:PASSWORD`);
  // Docker used to fill passwords up with NUL.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
}

function readEntry(entry: unknown, from: string): Credentials | undefined {
  if (!isObject(entry)) return undefined;
  const { identitytoken, auth, username, password } = entry;
  if (typeof identitytoken === "string" && identitytoken !== "") return { identityToken: identitytoken, from };
  if (typeof auth === "string" && auth !== "") {
    const decoded = decode(auth, from);
    return decoded && { ...decoded, from };
  }
  return typeof username === "string" && username !== "" && typeof password === "string"
    ? { username, password, from }
    : undefined;
}

async function askHelper(name: string, server: string): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  if (!HELPER.test(name)) throw unusable(JSON.stringify(program), "this is no name of a credential helper");
  let result: Deno.CommandOutput;
  try {
    const child = new Deno.Command(program, {
      args: ["get"],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.timeout(HELPER_PATIENCE),
    }).spawn();
    const writer = child.stdin.getWriter();
    // One that does not read what it is asked may still answer.
    const asked = writer.write(new TextEncoder().encode(server)).then(() => writer.close()).catch(() => {});
    [result] = await Promise.all([child.output(), asked]);
  } catch (error) {
    throw unusable(program, error instanceof Deno.errors.NotFound ? "it is not installed" : messageOf(error));
  }
  const text = new TextDecoder().decode(result.stdout);
  if (!result.success) {
    if (/credentials not found/i.test(text)) return undefined;
    throw unusable(program, result.signal ? `it was ended by ${result.signal}` : `it ended with ${result.code}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unusable(program, "its answer is no JSON");
  }
  if (!isObject(value) || typeof value.Secret !== "string") throw unusable(program, "its answer has no Secret");
  if (value.Secret === "") return undefined;
  if (value.Username === "<token>") return { identityToken: value.Secret, from: program };
  return { username: typeof value.Username === "string" ? value.Username : "", password: value.Secret, from: program };
}

/**
 * The credentials for a repository of a registry, or `undefined` where there are none. They are looked for in
 * `$REGISTRY_AUTH_FILE` alone if it is set; else in `$XDG_RUNTIME_DIR/containers/auth.json`, then in
 * `~/.docker/config.json`. In each file a helper for this registry counts first, then what is written there, then the
 * helper for all.
 *
 * @throws {ImageError} `credentials-unusable`: a file cannot be read, or a helper fails.
 */
export async function findCredentials(registry: string, repository: string): Promise<Credentials | undefined> {
  const keys = keysFor(registry, repository);
  const server = registry === "docker.io" ? "https://index.docker.io/v1/" : registry;
  for (const path of files()) {
    const file = read(path);
    if (!file) continue;
    const helper = lookUp(file.credHelpers, keys);
    if (typeof helper === "string" && helper !== "") return await askHelper(helper, server);
    const written = readEntry(lookUp(file.auths, keys), path);
    if (written) return written;
    if (typeof file.credsStore === "string" && file.credsStore !== "") {
      const kept = await askHelper(file.credsStore, server);
      if (kept) return kept;
    }
  }
  return undefined;
}
