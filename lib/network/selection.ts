/**
 * Network selection: the network options of a container, checked without looking at the host.
 *
 * @module
 */

import type { ContainerNetworkOptions } from "./options.ts";
import { InputError } from "../errors.ts";

/** One bridged network that a container asks for. */
export interface Membership {
  /** The network's name. */
  readonly network: string;
  /** The address that it wants there, as text. Default: any. */
  readonly address?: string;
  /** Names beside its own by which siblings on this network find it. */
  readonly aliases: readonly string[];
}

/** The network that a container asks for. */
export type NetworkSelection =
  | { readonly mode: "none" | "host" }
  | { readonly mode: "container"; readonly container: string }
  | { readonly mode: "bridge"; readonly memberships: readonly Membership[] };

/** The network that is there without being made. */
export const DEFAULT_NETWORK = "sauropod0";

const OTHER_NAMES = ["bridge", "default"];
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const ALIAS = /^[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?$/;

function refuse(message: string, hint: string, facts: Record<string, unknown> = {}): never {
  throw new InputError(message, { code: "bad-network", facts, hint });
}

/** Checks a network's name and returns the one that it really has. Throws {@linkcode InputError}. */
export function networkName(name: string): string {
  if (OTHER_NAMES.includes(name)) return DEFAULT_NETWORK;
  if (NAME.test(name)) return name;
  return refuse(`invalid network name ${JSON.stringify(name)}`, "use letters, digits, -, _ and ., at most 63", {
    name,
  });
}

function checkAlias(alias: string): string {
  if (ALIAS.test(alias)) return alias;
  return refuse(`invalid network alias ${JSON.stringify(alias)}`, "use letters, digits, -, _ and .");
}

function membership(text: string): Membership {
  const [name = "", ...settings] = text.split(/[:,]/);
  let address: string | undefined;
  const aliases: string[] = [];
  for (const setting of settings) {
    const [, key, value = ""] = /^(ip|alias)=(.+)$/.exec(setting) ?? [];
    if (key === "ip") address = value;
    else if (key === "alias") aliases.push(checkAlias(value));
    else {refuse(
        `invalid --network ${text}: unknown setting ${JSON.stringify(setting)}`,
        "use NAME:ip=ADDRESS,alias=NAME",
      );}
  }
  return { network: networkName(name), aliases, ...(address === undefined ? {} : { address }) };
}

const ONLY_BRIDGED = [
  ["publish", "--publish"],
  ["publishAll", "--publish-all"],
  ["networkAliases", "--network-alias"],
  ["containerAddress", "--container-addr"],
  ["bridgeAddress", "--bridge-addr"],
  ["netRate", "--net-rate"],
] as const;

const NOT_JOINED = [
  ...ONLY_BRIDGED,
  ["addHosts", "--add-host"],
  ["dns", "--dns"],
  ["dnsSearch", "--dns-search"],
  ["dnsOptions", "--dns-option"],
] as const;

function alone(mode: string, texts: readonly string[], options: ContainerNetworkOptions): void {
  if (texts.length > 1) refuse(`cannot combine --network ${mode} with another network`, "omit the others");
  for (const [name, flag] of mode.startsWith("container:") ? NOT_JOINED : ONLY_BRIDGED) {
    const value = options[name];
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) continue;
    refuse(`cannot combine ${flag} with --network ${mode}`, "omit one of them", { mode });
  }
}

/**
 * Resolves the network options.
 *
 * @throws {InputError} `bad-network`.
 */
export function selectNetwork(options: ContainerNetworkOptions): NetworkSelection {
  const { network = [], networkAliases = [], containerAddress } = options;
  const given = typeof network === "string" ? [network] : network;
  const texts = given.length > 0 ? given : [Deno.env.get("SAUROPOD_NETWORK") || DEFAULT_NETWORK];
  const special = texts.find((text) => text === "none" || text === "host" || text.startsWith("container:"));
  if (special !== undefined) {
    alone(special, texts, options);
    if (special === "container:") refuse("invalid --network container: missing container name", "use container:NAME");
    if (special === "none" || special === "host") return { mode: special };
    return { mode: "container", container: special.slice("container:".length) };
  }
  const memberships = texts.map(membership);
  const names = memberships.map((one) => one.network);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) refuse(`duplicate --network ${twice}`, "name each network once");
  if (options.bridgeAddress !== undefined && !names.includes(DEFAULT_NETWORK)) {
    refuse(`cannot use --bridge-addr without network ${DEFAULT_NETWORK}`, "use sauropod network create --gateway");
  }
  const aliases = networkAliases.map(checkAlias);
  return {
    mode: "bridge",
    memberships: memberships.map((one, i) => ({
      ...one,
      aliases: [...aliases, ...one.aliases],
      ...(i === 0 && containerAddress !== undefined ? { address: containerAddress } : {}),
    })),
  };
}
