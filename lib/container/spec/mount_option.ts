/**
 * Mounts as docker's `--mount` writes them: `type=bind,source=SOURCE,target=TARGET,readonly`.
 *
 * @module
 */

import { InputError } from "../../errors.ts";

/** What mounts mean as volumes and as file systems in memory. */
export interface ReadMounts {
  /** `[SOURCE:]TARGET[:ro]`. */
  readonly volumes: readonly string[];
  /** `TARGET[:OPTIONS]`. */
  readonly tmpfs: readonly string[];
}

const NAMES: Readonly<Record<string, string>> = { src: "source", dst: "target", destination: "target", ro: "readonly" };
const KEYS = {
  bind: ["type", "source", "target", "readonly"],
  volume: ["type", "target"],
  tmpfs: ["type", "target", "tmpfs-size", "tmpfs-mode"],
} as const;

type Kind = keyof typeof KEYS;

function isKind(text: string): text is Kind {
  return Object.hasOwn(KEYS, text);
}

function refuse(text: string, why: string, hint: string): never {
  throw new InputError(`--mount ${text}: ${why}`, { code: "bad-mount", facts: { value: text }, hint });
}

function fieldsOf(text: string): Map<string, string> {
  return new Map(
    text.split(",").map((field) => {
      const [key = "", value = "true"] = field.split(/=(.*)/s), name = key.trim().toLowerCase();
      return [NAMES[name] ?? name, value];
    }),
  );
}

function isTrue(text: string, value = "false"): boolean {
  if (value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  return refuse(text, `readonly is true or false, not ${JSON.stringify(value)}`, "readonly alone is true");
}

function readMount(text: string): { kind: Kind; words: string } {
  const fields = fieldsOf(text), kind = fields.get("type") ?? "volume";
  if (!isKind(kind)) {
    refuse(text, `there are no mounts of type ${JSON.stringify(kind)}`, "types are bind, volume and tmpfs");
  }
  if (kind === "volume" && fields.has("source")) {
    refuse(text, "volumes have no names here", "type=bind,source=FOLDER,target=TARGET mounts a folder of this machine");
  }
  const keys: readonly string[] = KEYS[kind], wrong = [...fields.keys()].find((key) => !keys.includes(key));
  if (wrong !== undefined) {
    refuse(text, `a mount of type ${kind} has no ${JSON.stringify(wrong)}`, `it has ${keys.join(", ")}`);
  }
  const target = fields.get("target") ?? "", source = fields.get("source") ?? "";
  if (target === "") refuse(text, "it has no target", "target=/PATH in the container");
  if (`${source}${target}`.includes(":")) {
    refuse(text, "paths with a colon cannot be mounted", "a link to the source can have another name");
  }
  if (kind === "volume") return { kind, words: target };
  if (kind === "bind") {
    if (source === "") refuse(text, "it has no source", "source=FOLDER or FILE of this machine");
    return { kind, words: `${source}:${target}${isTrue(text, fields.get("readonly")) ? ":ro" : ""}` };
  }
  const size = fields.get("tmpfs-size"), mode = fields.get("tmpfs-mode");
  const options = [size && `size=${size}`, mode && `mode=${mode}`].filter((option) => option).join(",");
  return { kind, words: options ? `${target}:${options}` : target };
}

/**
 * Reads mounts as docker's `--mount` writes them.
 *
 * @throws {InputError} `bad-mount`.
 */
export function readMounts(texts: readonly string[]): ReadMounts {
  const mounts = texts.map(readMount),
    of = (tmpfs: boolean): string[] =>
      mounts.filter(({ kind }) => (kind === "tmpfs") === tmpfs).map(({ words }) => words);
  return { volumes: of(false), tmpfs: of(true) };
}
