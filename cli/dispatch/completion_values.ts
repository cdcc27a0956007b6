/**
 * Completion candidates: values of flags and arguments of commands.
 *
 * @module
 */

import { CAPABILITIES } from "../../lib/host/capabilities.ts";
import { type ContainerInfo, listAll } from "../../lib/container/state/list.ts";
import { findFolders } from "../../lib/host/folders.ts";
import { listImages } from "../../lib/image/resolve.ts";
import { listStored, storeFolder } from "../../lib/store/store.ts";
import { networkNames } from "../../lib/network/definition.ts";
import { DEFAULT_NETWORK } from "../../lib/network/selection.ts";
import { familiarReference, parseReference } from "../../lib/registry/reference.ts";
import { HEALTH, STATUSES } from "../commands/ps.ts";

/** A candidate. */
export interface Choice {
  /** The word; after one that ends with `:` or `=` no space follows. */
  readonly word: string;
  /** Its description. */
  readonly brief: string;
}

/** Candidates for a word. */
export interface Choices {
  /** The words. */
  readonly words: readonly Choice[];
  /** Set if paths of this machine fit, too. */
  readonly files?: boolean;
}

/** No candidates. */
export const NOTHING: Choices = { words: [] };
/** Paths of this machine. */
export const FILES: Choices = { words: [], files: true };

type Values = (command: string) => Choices;

/** Returns words with the same description. */
export function words(brief: string, ...all: readonly string[]): Choices {
  return { words: all.map((word) => ({ word, brief })) };
}

const isUp = ({ status }: ContainerInfo): boolean => status === "running" || status === "paused";
const runs = ({ status }: ContainerInfo): boolean => status === "running";

// Other commands take containers in any state.
const IN_STATE: Readonly<Record<string, (container: ContainerInfo) => boolean>> = {
  ...{ exec: runs, attach: isUp, pause: runs, unpause: ({ status }) => status === "paused", top: isUp },
  ...{ stop: ({ ended }) => !ended, kill: isUp, wait: ({ ended }) => !ended },
  ...{ start: ({ status }) => !["running", "paused", "restarting"].includes(status) },
  apply: ({ ended }) => ended !== undefined,
};

/** Returns the containers in a state that `command` accepts, by ID only if they have no name or something is typed. */
function containers(command: string, typed: string): Choice[] {
  const fits = Object.hasOwn(IN_STATE, command) ? IN_STATE[command] : undefined;
  return listAll(findFolders().containers).filter((container) => fits?.(container) ?? true).flatMap((container) => {
    const { id, name, image, status } = container, brief = `${status}, of ${image}`;
    const named = name === undefined ? [] : [{ word: name, brief }];
    return name === undefined || typed !== "" ? [...named, { word: id, brief }] : named;
  });
}

function storedImages(): Choice[] {
  return listStored(storeFolder(findFolders().images)).map(({ name }) => ({
    word: familiarReference(parseReference(name)),
    brief: "stored image",
  }));
}

/** Returns the images that containers can be created from. */
export function images(): Choice[] {
  const local = listImages(findFolders().images).map(({ name, kind }) => ({ word: name, brief: kind }));
  const found = [...local, ...storedImages()];
  return [{ word: "host", brief: "root filesystem of this machine" }, ...found.filter(({ word }) => word !== "host")];
}

function networks(): Choice[] {
  const made = networkNames(findFolders().containers).map((word) => ({ word, brief: "network" }));
  return [{ word: DEFAULT_NETWORK, brief: "default network" }, ...made];
}

const SPECIAL_NETWORKS: readonly Choice[] = [
  { word: "none", brief: "own network namespace with loopback only" },
  { word: "host", brief: "network namespace of this machine" },
  { word: "container:", brief: "network namespace of a container" },
];

function networkOf(typed: string): Choices {
  if (!typed.startsWith("container:")) return { words: [...networks(), ...SPECIAL_NETWORKS] };
  return { words: containers("exec", "").map(({ word, brief }) => ({ word: `container:${word}`, brief })) };
}

const STATES = [...STATUSES.map((status) => `status=${status}`), ...HEALTH.map((health) => `health=${health}`)];
const ACTIONS = ["create", "start", "rename", "pause", "unpause", "die", "destroy"].map((action) => `action=${action}`);
const capabilities = (): Choices => words("capability", "ALL", ...CAPABILITIES);
const signals = (): Choices => words("signal", "TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH");
const policies = (): Choices => words("policy", "no", "on-failure", "on-failure:", "always", "unless-stopped");

/** Values of flags, by camel-case name. */
const OF_FLAGS: Readonly<Record<string, (command: string, typed: string) => Choices>> = {
  pull: () => words("policy", "always", "missing", "never"),
  restart: policies,
  format: (command) =>
    command === "images save" ? words("format", "docker", "oci") : command === "ps" ? words("format", "json") : NOTHING,
  mount: () => words("mount", "type=bind,source=", "type=volume,target=", "type=tmpfs,target="),
  network: (_, typed) => networkOf(typed),
  net: (_, typed) => networkOf(typed),
  capAdd: capabilities,
  capDrop: capabilities,
  signal: signals,
  stopSignal: signals,
  logDriver: () => words("driver", "json-file", "none"),
  logOpt: () => words("option", "max-size=", "max-file="),
  securityOpt: () => words("option", "no-new-privileges=true", "no-new-privileges=false"),
  platform: () => words("platform", "linux/amd64", "linux/arm64"),
  filter: (command) =>
    command === "events"
      ? words("filter", "container=", "image=", ...ACTIONS)
      : words("filter", ...STATES, "name=", "label=", "image=", "network=", "id=", "exited="),
};

const place: Values = (command) =>
  command !== "cp" ? FILES : {
    words: containers(command, "").map(({ word, brief }) => ({ word: `${word}:`, brief })),
    files: true,
  };

/** Values of placeholders in help. */
const OF_PLACEHOLDERS: Readonly<Record<string, (command: string, typed: string) => Choices>> = {
  CONTAINER: (command, typed) => ({ words: containers(command, typed) }),
  IMAGE: (command) => ({ words: command.startsWith("images ") ? storedImages() : images() }),
  NETWORK: (command) => command === "network create" ? NOTHING : { words: networks() },
  SOURCE: place,
  DESTINATION: place,
  ...Object.fromEntries(
    ["FILE", "DIR", "PATH", "CONTEXT", "[SOURCE:]TARGET[:ro]", "PATH[:TARGET]"].map((name) => [name, () => FILES]),
  ),
};

/** Returns the candidates for the value of a flag, given the typed part. */
export function ofFlag(command: string, name: string, placeholder: string, typed: string): Choices {
  const values = Object.hasOwn(OF_FLAGS, name) ? OF_FLAGS[name] : undefined;
  return values?.(command, typed) ?? ofPlaceholder(command, placeholder, typed);
}

/** Returns the candidates for `placeholder`, given the typed part. */
export function ofPlaceholder(command: string, placeholder: string, typed: string): Choices {
  const values = Object.hasOwn(OF_PLACEHOLDERS, placeholder) ? OF_PLACEHOLDERS[placeholder] : undefined;
  if (values) return values(command, typed);
  return placeholder.includes("|") ? words("", ...placeholder.split("|")) : NOTHING;
}
