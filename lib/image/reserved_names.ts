/**
 * Names that no image is given, as they mean something else wherever an image is named: `host` is this machine,
 * `scratch` is nothing (in a Dockerfile), and `container:NAME` is a fork of a container.
 *
 * @module
 */

import { InputError } from "../errors.ts";
import { DEFAULT_REGISTRY, formatReference, parseReference, type Reference } from "../registry/reference.ts";

const RESERVED: Readonly<Record<string, string>> = {
  "library/host": "this machine's own file system",
  "library/scratch": "an empty image, in a Dockerfile",
  "library/container": "a fork of a container, with its name behind the colon",
};

/** Returns the meaning of a reserved short name; undefined for all others. */
export function reservedMeaning({ registry, repository }: Reference): string | undefined {
  if (registry !== DEFAULT_REGISTRY || !Object.hasOwn(RESERVED, repository)) return undefined;
  return RESERVED[repository];
}

/**
 * Reads the name that an image is to have.
 *
 * @throws {InputError} `bad-reference`, and `reserved-name` if it means something else.
 */
export function parseNewName(text: string): Reference {
  const reference = parseReference(text), meaning = reservedMeaning(reference);
  if (meaning === undefined) return reference;
  const name = reference.repository.replace(/^.*\//, "");
  throw new InputError(`no image can be called ${name}, which means ${meaning}`, {
    code: "reserved-name",
    facts: { name: formatReference(reference) },
    hint: `with a registry or a name in front it can: my/${name}`,
  });
}
