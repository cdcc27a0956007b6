/**
 * Names of images at registries, as Docker and the OCI distribution specification write them.
 *
 * @module
 */

import { InputError } from "../errors.ts";

/** Reference to an image at a registry. */
export interface Reference {
  /** The registry: `HOST` or `HOST:PORT`; `docker.io` for Docker Hub. */
  readonly registry: string;
  /** The repository, such as `library/alpine`. */
  readonly repository: string;
  /** The tag. It is `latest` where neither tag nor digest was given. */
  readonly tag?: string;
  /** The digest of the manifest, `sha256:` and 64 hexadecimal digits. Where there is one, it counts and not the tag. */
  readonly digest?: string;
}

/** The registry of names that begin with none. */
export const DEFAULT_REGISTRY = "docker.io";

const LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]+\\])(?::([0-9]{1,5}))?$`);
const WORD = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const REPOSITORY = new RegExp(`^${WORD}(?:/${WORD})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const LONGEST = 255;
const LONGEST_TEXT = 600;

function bad(text: string, why: string, hint = "a name is written [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]"): never {
  const shown = JSON.stringify(text.slice(0, 300));
  throw new InputError(`invalid image name ${shown}: ${why}`, {
    code: "bad-reference",
    facts: { reference: text },
    hint,
  });
}

/** Reports whether `text` is a registry: a host with an optional port. */
export function isRegistryName(text: string): boolean {
  const port = HOST.exec(text)?.[1];
  return HOST.test(text) && (port === undefined || Number(port) > 0 && Number(port) < 65536);
}

// The rule of Docker: `a/b` is a repository of Docker Hub, `a.b/c`, `a:1/c`, `localhost/c` and `A/c` are not.
function isHost(first: string): boolean {
  return /[.:[]/.test(first) || first === "localhost" || first !== first.toLowerCase();
}

function splitOff(text: string, at: number): [string, string | undefined] {
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function splitHost(name: string): [registry: string, repository: string] {
  const [first, rest] = splitOff(name, name.indexOf("/"));
  if (rest === undefined || !isHost(first)) return [DEFAULT_REGISTRY, name];
  return [first === "index.docker.io" ? DEFAULT_REGISTRY : first, rest];
}

/**
 * Reads the name of an image. `docker.io`, `library/` and `latest` are what Docker takes for what is left out.
 *
 * @throws {InputError} `bad-reference`.
 */
export function parseReference(text: string): Reference {
  if (text.length > LONGEST_TEXT) bad(text, `it is longer than ${LONGEST_TEXT} characters`);
  const [named, digest] = splitOff(text, text.indexOf("@"));
  const colon = named.lastIndexOf(":");
  const [name, tag] = splitOff(named, colon > named.lastIndexOf("/") ? colon : -1);
  const [registry, path] = splitHost(name);
  const repository = registry === DEFAULT_REGISTRY && !path.includes("/") ? `library/${path}` : path;

  if (path === "") bad(text, "there is no name");
  if (!isRegistryName(registry)) bad(text, `invalid host ${JSON.stringify(registry)}`);
  if (path !== path.toLowerCase() && REPOSITORY.test(repository.toLowerCase())) {
    bad(text, "it has capital letters", `did you mean ${named.toLowerCase()}?`);
  }
  if (!REPOSITORY.test(repository)) {
    bad(text, "a name is made of lower case letters and digits, with single . _ - between them");
  }
  if (registry.length + 1 + repository.length > LONGEST) bad(text, `it is longer than ${LONGEST} characters`);
  if (/^(sha256:)?[0-9a-f]{64}$/.test(text)) bad(text, "it is a digest", `name the repository: NAME@sha256:…`);
  if (tag !== undefined && !TAG.test(tag)) {
    bad(text, "the tag has more than 128 characters, or others than letters, digits and _ . -");
  }
  if (digest !== undefined && !DIGEST.test(digest)) bad(text, "the digest is not sha256: and 64 hexadecimal digits");

  if (digest !== undefined) return { registry, repository, ...(tag === undefined ? {} : { tag }), digest };
  return { registry, repository, tag: tag ?? "latest" };
}

function suffix({ tag, digest }: Reference): string {
  return `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** Returns the full name: `docker.io/library/alpine:3.20`. */
export function formatReference(reference: Reference): string {
  return `${reference.registry}/${reference.repository}${suffix(reference)}`;
}

/** Returns the short name that Docker shows: `alpine:3.20`. Reading it gives the same reference. */
export function familiarReference(reference: Reference): string {
  const { registry, repository } = reference;
  if (registry !== DEFAULT_REGISTRY) return formatReference(reference);
  const rest = repository.replace(/^library\//, "");
  // `library/localhost/x` would be read as a host.
  return `${rest.includes("/") ? repository : rest}${suffix(reference)}`;
}
