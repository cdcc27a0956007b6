/**
 * Container config of an image while a Dockerfile changes it. Pure.
 *
 * @module
 */

import { variables } from "../container/spec/image_settings.ts";
import { malformed, type Position } from "./problems.ts";

/** The settings of an image as JSON: what is not changed is kept, known or not. */
export type Settings = Readonly<Record<string, unknown>>;

/** Returns a JSON object; an empty one for what is none. */
export function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

/** Returns a list of texts; undefined for what is none. */
export function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : undefined;
}

/** Returns a text that is not empty. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Returns the variables that settings name. */
export function variablesOf(settings: Settings): Record<string, string> {
  return variables(textsOf(settings.Env));
}

/** A set of names in settings, or one of names with values. */
export type NameSet = "ExposedPorts" | "Volumes" | "Labels";

const MAX_PORTS = 65_535;

/** Parses the ports of EXPOSE: `80`, `80/udp`, `8000-8010`. */
export function exposedPorts(at: Position, words: readonly string[]): Record<string, unknown> {
  const ports: Record<string, unknown> = {};
  let count = 0;
  for (const word of words) {
    const [, first, last = first, protocol = "tcp"] =
      /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(word.toLowerCase()) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (!(from >= 1 && from <= to && to <= 65535)) {
      throw malformed(at, `invalid port ${JSON.stringify(word)}`, "80, 53/udp or 8000-8010");
    }
    count += to - from + 1;
    if (count > MAX_PORTS) throw malformed(at, `EXPOSE names more than ${MAX_PORTS} ports`);
    for (let port = from; port <= to; port++) ports[`${port}/${protocol}`] = {};
  }
  return ports;
}
