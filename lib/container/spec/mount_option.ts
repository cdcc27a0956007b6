/**
 * Mounts in the form of docker's `--mount`: `type=bind,source=SOURCE,target=TARGET,readonly`.
 *
 * @module
 */

import { InputError } from "../../errors.ts";

/** Parsed `--mount` options. */
export interface ReadMounts {
  /** Volumes and bind mounts as `[SOURCE:]TARGET[:ro]`. */
  readonly volumes: readonly string[];
  /** tmpfs mounts as `TARGET[:OPTIONS]`. */
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
  throw new InputError(`invalid --mount ${JSON.stringify(text)}: ${why}`, {
    code: "bad-mount",
    facts: { value: text },
    hint,
  });
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
  return refuse(text, `invalid readonly ${JSON.stringify(value)}`, "use readonly=true, or readonly alone");
}

function readMount(text: string): { kind: Kind; words: string } {
  const fields = fieldsOf(text), kind = fields.get("type") ?? "volume";
  if (!isKind(kind)) {
    refuse(text, `unknown type ${JSON.stringify(kind)}`, "use bind, volume or tmpfs");
  }
  if (kind === "volume" && fields.has("source")) {
    refuse(text, "named volumes are not supported", "bind mount a directory: type=bind,source=DIR,target=TARGET");
  }
  const keys: readonly string[] = KEYS[kind], wrong = [...fields.keys()].find((key) => !keys.includes(key));
  if (wrong !== undefined) {
    refuse(text, `unknown field ${JSON.stringify(wrong)} of type ${kind}`, `use ${keys.join(", ")}`);
  }
  const target = fields.get("target") ?? "", source = fields.get("source") ?? "";
  if (target === "") refuse(text, "target required", "add target=/PATH");
  if (`${source}${target}`.includes(":")) {
    refuse(text, "path with a colon", "name the source by a symbolic link without one");
  }
  if (kind === "volume") return { kind, words: target };
  if (kind === "bind") {
    if (source === "") refuse(text, "source required", "add source=PATH of the host");
    return { kind, words: `${source}:${target}${isTrue(text, fields.get("readonly")) ? ":ro" : ""}` };
  }
  const size = fields.get("tmpfs-size"), mode = fields.get("tmpfs-mode");
  const options = [size && `size=${size}`, mode && `mode=${mode}`].filter((option) => option).join(",");
  return { kind, words: options ? `${target}:${options}` : target };
}

/**
 * Parses values of `--mount`.
 *
 * @throws {InputError} `bad-mount`.
 */
export function readMounts(texts: readonly string[]): ReadMounts {
  const mounts = texts.map(readMount),
    of = (tmpfs: boolean): string[] =>
      mounts.filter(({ kind }) => (kind === "tmpfs") === tmpfs).map(({ words }) => words);
  return { volumes: of(false), tmpfs: of(true) };
}
