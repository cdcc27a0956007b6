/**
 * Credentials that `docker login`, `podman login` and `skopeo login` have put down.
 *
 * @module
 */

import { reasonOf } from "../host/reason.ts";
import { runHelper, unusable } from "./credential_helper.ts";

/** Credentials: a username and password, or an identity token. */
export type Credentials =
  | {
    /** The name of the user. */
    readonly username: string;
    /** The password. */
    readonly password: string;
    /** Their source, for errors. */
    readonly from: string;
  }
  | {
    /** Identity token, which the token server exchanges for tokens. */
    readonly identityToken: string;
    /** Its source, for errors. */
    readonly from: string;
  };

const DOCKER_HUB = ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"];

/** Returns the files in which credentials may be, the one that counts first in front. */
export function credentialFiles(): string[] {
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

/** Reports whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads a credentials file; undefined if there is none. */
export function readCredentialFile(path: string): Record<string, unknown> | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw unusable(path, reasonOf(error, path));
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

/** By what the credentials for a repository may be called in a file, the most special first: skopeo has some for parts of a registry. */
export function keysFor(registry: string, repository: string): string[] {
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

/** Returns the key under which docker stores a registry's credentials. */
export function serverOf(registry: string): string {
  return registry === "docker.io" ? "https://index.docker.io/v1/" : registry;
}

/** Returns the value of the first of `keys` that a table has. */
export function lookUp(table: unknown, keys: readonly string[]): unknown {
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
  const text = await runHelper(name, "get", server), from = `docker-credential-${name}`;
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unusable(from, "its answer is no JSON");
  }
  if (!isObject(value) || typeof value.Secret !== "string") throw unusable(from, "its answer has no Secret");
  if (value.Secret === "") return undefined;
  if (value.Username === "<token>") return { identityToken: value.Secret, from };
  return { username: typeof value.Username === "string" ? value.Username : "", password: value.Secret, from };
}

/**
 * Returns the credentials for a repository of a registry, or `undefined` where there are none. They are looked for in
 * `$REGISTRY_AUTH_FILE` alone if it is set; else in `$XDG_RUNTIME_DIR/containers/auth.json`, then in
 * `~/.docker/config.json`. In each file a helper for this registry counts first, then what is written there, then the
 * helper for all.
 *
 * @throws {ImageError} `credentials-unusable`: a file cannot be read, or a helper fails.
 */
export async function findCredentials(registry: string, repository: string): Promise<Credentials | undefined> {
  const keys = keysFor(registry, repository);
  const server = serverOf(registry);
  for (const path of credentialFiles()) {
    const file = readCredentialFile(path);
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
