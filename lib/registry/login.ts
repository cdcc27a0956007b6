/**
 * Logging in to registries: credentials are tried, and put where docker and podman look for them.
 *
 * @module
 */

import { dirname } from "node:path";
import { modeOf, removeFile } from "../../ffi/fs/paths.ts";
import { InputError } from "../errors.ts";
import { attempt, openRegistry, type RegistryOptions } from "./client.ts";
import { runHelper } from "./credential_helper.ts";
import { credentialFiles, isObject, keysFor, lookUp, readCredentialFile, serverOf } from "./credentials.ts";
import { DEFAULT_REGISTRY, isRegistryName } from "./reference.ts";

/** A name and a password. */
export interface Login {
  /** The name of the user. */
  readonly username: string;
  /** The password, or a token that serves as one. */
  readonly password: string;
}

/**
 * Returns the registry that is meant, as docker reads it.
 *
 * @throws {InputError} `bad-registry`.
 */
export function registryOf(text = DEFAULT_REGISTRY): string {
  const [host = ""] = text.replace(/^https?:\/\//, "").split("/");
  if (host === "index.docker.io" || host === "registry-1.docker.io") return DEFAULT_REGISTRY;
  if (isRegistryName(host)) return host;
  throw new InputError(`invalid registry ${JSON.stringify(text)}`, {
    code: "bad-registry",
    facts: { value: text },
    hint: "a registry is written HOST[:PORT], such as ghcr.io",
  });
}

/** Asks the registry whether it takes the credentials. */
async function tryOut(registry: string, login: Login, options: RegistryOptions): Promise<void> {
  const credentials = () => Promise.resolve({ ...login, from: login.username });
  const asked = openRegistry(registry, { ...options, credentials });
  await attempt(asked, { what: "log in", repository: "" }, async (at) => {
    const { response } = await at.request({ path: new URL("/v2/", at.site.place.origin), actions: "pull" });
    if (!response.ok) throw await at.refusal(response);
    await response.body?.cancel();
  }, { originOnly: true });
}

// As docker writes it. A link stays one, and what is there is replaced at once or not at all.
function write(path: string, content: Record<string, unknown>): void {
  Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const real = modeOf(path) === undefined ? path : Deno.realPathSync(path), temporary = `${real}.${Deno.pid}`;
  if (modeOf(real) !== undefined && !Deno.statSync(real).isFile) {
    throw new InputError(`cannot replace ${path}: not a regular file`, {
      code: "bad-credentials-file",
      facts: { path },
      hint: "name another folder in DOCKER_CONFIG",
    });
  }
  try {
    Deno.writeTextFileSync(temporary, JSON.stringify(content, null, "\t"), { mode: 0o600, createNew: true });
    Deno.renameSync(temporary, real);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

function tableOf(file: Record<string, unknown>): Record<string, unknown> {
  return isObject(file.auths) ? file.auths : {};
}

function without(table: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).filter(([key]) => !keys.includes(key)));
}

function helperIn(file: Record<string, unknown>, keys: readonly string[]): string | undefined {
  return [lookUp(file.credHelpers, keys), file.credsStore].find((name): name is string =>
    typeof name === "string" && name !== ""
  );
}

/** Returns the file that is to have them: one that has some for this registry already, as it would count before others; else docker's. */
function place(keys: readonly string[]): string {
  const files = credentialFiles(), [last = ""] = files.slice(-1);
  return files.find((path) => lookUp(readCredentialFile(path)?.auths, keys) !== undefined) ?? last;
}

/**
 * Tries credentials and keeps them, in the file or helper that docker and podman use. Returns where they are.
 *
 * @throws {ImageError} `registry-refused` if the registry does not take them, and for every other thing that goes wrong
 * there. Nothing is kept then.
 */
export async function logIn(registry: string, login: Login, options: RegistryOptions = {}): Promise<string> {
  await tryOut(registry, login, options);
  const keys = keysFor(registry, ""), path = place(keys);
  const file = readCredentialFile(path) ?? {}, server = serverOf(registry), helper = helperIn(file, keys);
  const { username, password } = login;
  if (helper !== undefined) {
    await runHelper(helper, "store", JSON.stringify({ ServerURL: server, Username: username, Secret: password }));
  }
  const auth = btoa(String.fromCharCode(...new TextEncoder().encode(`${username}:${password}`)));
  const auths = { ...without(tableOf(file), keys), [server]: helper === undefined ? { auth } : {} };
  write(path, { ...file, auths });
  return helper === undefined ? path : `docker-credential-${helper}`;
}

/** Forgets credentials, wherever they are. Returns whether there were any. */
export async function logOut(registry: string): Promise<boolean> {
  const keys = keysFor(registry, "");
  let found = false;
  for (const path of credentialFiles()) {
    const file = readCredentialFile(path);
    if (!file || lookUp(file.auths, keys) === undefined) continue;
    const helper = helperIn(file, keys);
    if (helper !== undefined) await runHelper(helper, "erase", serverOf(registry));
    write(path, { ...file, auths: without(tableOf(file), keys) });
    found = true;
  }
  return found;
}
