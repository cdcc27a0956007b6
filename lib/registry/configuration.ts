/**
 * Which registries are reached without TLS, and which mirrors stand in for one.
 *
 * The file is JSON, and both parts may be left out:
 *
 * ```json
 * {
 *   "insecure": ["registry.lan:5000"],
 *   "mirrors": { "docker.io": ["mirror.lan:5000", "cache.example/hub"] }
 * }
 * ```
 *
 * Mirrors are tried in their order, then the registry itself; what follows the host of a mirror is put in front of the
 * repository. The file is `$SAUROPOD_REGISTRIES`, else the first of `~/.config/sauropod/registries.json` and
 * `/etc/sauropod/registries.json` that exists.
 *
 * @module
 */

import { InputError, messageOf } from "../errors.ts";
import { reasonOf } from "../host/reason.ts";
import { isRegistryName } from "./reference.ts";

/** Configuration of registries. */
export interface Configuration {
  /** Registries that are reached by plain HTTP. Those on loopback are in any case. */
  readonly insecure: readonly string[];
  /** For a registry, what is asked before it. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
}

/** A place where the repositories of a registry can be had. */
export interface Place {
  /** `HOST[:PORT]`, by which credentials are found. */
  readonly host: string;
  /** The URL of its API, without a path. */
  readonly origin: string;
  /** Whether it is reached over TLS. */
  readonly secure: boolean;
  /** Prefix of repositories: empty, or a path that ends with a slash. */
  readonly prefix: string;
}

/** No mirrors, nothing insecure. */
export const NO_CONFIGURATION: Configuration = { insecure: [], mirrors: {} };

function files(): { path: string; required: boolean }[] {
  const named = Deno.env.get("SAUROPOD_REGISTRIES");
  if (named) return [{ path: named, required: true }];
  const home = Deno.env.get("HOME");
  const own = Deno.env.get("XDG_CONFIG_HOME") || (home && `${home}/.config`);
  const paths = [...(own ? [`${own}/sauropod/registries.json`] : []), "/etc/sauropod/registries.json"];
  return paths.map((path) => ({ path, required: false }));
}

function isNames(value: unknown, isName: (name: string) => boolean): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string" && isName(one));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMirror(text: string): boolean {
  const [host = "", ...path] = text.split("/");
  return isRegistryName(host) && path.every((part) => /^[a-z0-9]+([._-]+[a-z0-9]+)*$/.test(part));
}

/**
 * Reads the text of a configuration file at `path`.
 *
 * @throws {InputError} `bad-registries-file`.
 */
export function parseConfiguration(text: string, path: string): Configuration {
  const bad = (why: string): never => {
    throw new InputError(`cannot use ${path}: ${why}`, {
      code: "bad-registries-file",
      facts: { path },
      hint: `it looks like { "insecure": ["HOST:PORT"], "mirrors": { "docker.io": ["HOST:PORT"] } }`,
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return bad(messageOf(error));
  }
  if (!isObject(value)) return bad("it is not a JSON object");
  const unknown = Object.keys(value).find((key) => key !== "insecure" && key !== "mirrors");
  if (unknown !== undefined) return bad(`it has ${JSON.stringify(unknown)}, which means nothing`);
  const { insecure = [], mirrors = {} } = value;
  if (!isNames(insecure, isRegistryName)) return bad(`"insecure" is not a list of HOST:PORT`);
  if (!isObject(mirrors)) return bad(`"mirrors" is not an object`);
  const entries = Object.entries(mirrors);
  const isEntry = (entry: [string, unknown]): entry is [string, string[]] =>
    isRegistryName(entry[0]) && isNames(entry[1], isMirror);
  if (!entries.every(isEntry)) return bad(`"mirrors" is not a list of HOST:PORT for each registry`);
  return { insecure, mirrors: Object.fromEntries(entries) };
}

/**
 * Reads the configuration in force; none is the same as an empty one.
 *
 * @throws {InputError} `bad-registries-file`.
 */
export function readConfiguration(): Configuration {
  for (const { path, required } of files()) {
    let text: string;
    try {
      text = Deno.readTextFileSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound && !required) continue;
      throw new InputError(`cannot read ${path}: ${reasonOf(error, path)}`, {
        code: "bad-registries-file",
        facts: { path },
        cause: error,
      });
    }
    return parseConfiguration(text, path);
  }
  return NO_CONFIGURATION;
}

/** Reports whether a registry is on the loopback, by its name. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:[0-9]+$/, "");
  return name === "localhost" || name.endsWith(".localhost") || /^127(\.[0-9]{1,3}){3}$/.test(name) || name === "[::1]";
}

function placeOf(name: string, { insecure }: Configuration): Place {
  const [host = "", ...path] = name.split("/");
  const secure = !isLoopback(host) && !insecure.includes(host);
  // Docker Hub's API is elsewhere than its name says.
  const at = host === "docker.io" ? "registry-1.docker.io" : host;
  return {
    host,
    origin: new URL(`${secure ? "https" : "http"}://${at}`).origin,
    secure,
    prefix: path.map((p) => `${p}/`).join(""),
  };
}

/** Returns the endpoints of a registry: its mirrors, then the registry itself, which alone is pushed to. */
export function placesOf(registry: string, configuration: Configuration): Place[] {
  // A registry may be called `toString`.
  const mirrors = Object.hasOwn(configuration.mirrors, registry) ? configuration.mirrors[registry] : undefined;
  return [...(mirrors ?? []), registry].map((name) => placeOf(name, configuration));
}
