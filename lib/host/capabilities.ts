/**
 * Linux capabilities by name (`capabilities(7)`), and the default set of a container.
 *
 * @module
 */

import { InputError } from "../errors.ts";

const NAMES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
] as const;

/** A capability's name without `CAP_`. */
export type Capability = typeof NAMES[number];

/** Every capability, at the index that is its number. */
export const CAPABILITIES: readonly Capability[] = NAMES;

/** The default capabilities of a container: Podman's eleven. */
export const DEFAULT_CAPABILITIES: readonly Capability[] = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
];

/** The changes that options ask for. */
export interface CapabilityChoice {
  /** Capabilities to add, with or without `CAP_`, in any case; `ALL` for every one. */
  add?: readonly string[];
  /** Capabilities to take away, in the same form. */
  drop?: readonly string[];
  /** Whether to begin from every capability instead of the default ones. */
  privileged?: boolean;
}

function named(text: string): Capability | "ALL" {
  const name = text.toUpperCase().replace(/^CAP_/, "");
  const found = name === "ALL" ? "ALL" : NAMES.find((known) => known === name);
  if (found) return found;
  throw new InputError(`unknown capability ${JSON.stringify(text)}`, {
    code: "unknown-capability",
    facts: { capability: text },
    hint: "use a name of capabilities(7), such as NET_ADMIN, or ALL",
  });
}

/**
 * Returns the capabilities that a container gets, in the order of their numbers. `ALL` comes before single names, and a
 * name that is both added and dropped is added, as with Docker.
 *
 * @param available The capabilities that this process has; what it lacks is left out, or refused if asked for by name.
 * @throws {InputError} `unknown-capability`, `capability-missing`.
 */
export function chooseCapabilities(choice: CapabilityChoice, available: ReadonlySet<Capability>): Capability[] {
  const add = (choice.add ?? []).map(named), drop = (choice.drop ?? []).map(named);
  for (const name of add) {
    if (name === "ALL" || available.has(name)) continue;
    throw new InputError(`cannot add capability ${name}: this process lacks it`, {
      code: "capability-missing",
      facts: { capability: name },
      hint: "run as a user that has it, or omit it",
    });
  }
  const none = drop.includes("ALL") && !add.includes("ALL");
  const all = choice.privileged || add.includes("ALL");
  const base: readonly Capability[] = none ? [] : all ? NAMES : DEFAULT_CAPABILITIES;
  const chosen = new Set<Capability>(base);
  for (const name of drop) if (name !== "ALL") chosen.delete(name);
  for (const name of add) if (name !== "ALL") chosen.add(name);
  return NAMES.filter((name) => chosen.has(name) && available.has(name));
}

/** Returns the capabilities as the 64-bit mask of `capset(2)`. */
export function capabilityMask(capabilities: readonly Capability[]): bigint {
  return capabilities.reduce((mask, name) => mask | (1n << BigInt(NAMES.indexOf(name))), 0n);
}

/** Returns the capabilities in a mask of 64 bits. */
export function capabilitiesIn(mask: bigint): Capability[] {
  return NAMES.filter((_, i) => mask >> BigInt(i) & 1n);
}
