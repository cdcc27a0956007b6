/**
 * What can follow the words typed so far; the completion scripts ask it.
 *
 * @module
 */

import { proposeCompletions } from "npm:@stricli/core@1.3.0";
import { listContainers } from "../lib/container/names.ts";
import { findFolders } from "../lib/folders.ts";
import { listImages } from "../lib/image/resolve.ts";
import { listStored, storeFolder } from "../lib/image/store.ts";
import { networkNames } from "../lib/network/definition.ts";
import { DEFAULT_NETWORK } from "../lib/network/request.ts";
import { familiarReference, parseReference } from "../lib/registry/reference.ts";
import { app } from "./app.ts";
import { COMMANDS, normalizeRun } from "./argv.ts";
import type { Context } from "./context.ts";
import { DOCKER_WORDS, ourWords } from "./docker_words.ts";
import { FLAG_TABLE } from "./flags.ts";

/** One word that can follow, and what it means. */
export interface Proposal {
  /** The word. */
  word: string;
  /** What it means. */
  brief: string;
}

function containers(): Proposal[] {
  return listContainers(findFolders().containers).flatMap(({ id, name, image }) => [
    { word: id, brief: image },
    ...(name === undefined ? [] : [{ word: name, brief: image }]),
  ]);
}

/** A container's side of a copy. */
function place({ word, brief }: Proposal): Proposal {
  return { word: `${word}:`, brief };
}

function images(): Proposal[] {
  const local = listImages(findFolders().images).map(({ name, kind }) => ({ word: name, brief: kind }));
  const found = [...local, ...storedImages()];
  return [{ word: "host", brief: "this machine's own files" }, ...found.filter(({ word }) => word !== "host")];
}

function storedImages(): Proposal[] {
  return listStored(storeFolder(findFolders().images)).map(({ name }) => ({
    word: familiarReference(parseReference(name)),
    brief: "stored image",
  }));
}

function dockerWords(): Proposal[] {
  return Object.entries(DOCKER_WORDS).map(([word, ours]) => ({ word, brief: `docker's word for ${ours.join(" ")}` }));
}

const OF_STORED = new Set(["push", "save", "inspect", "history", "tag", "rm"]);

function networks(): Proposal[] {
  const made = networkNames(findFolders().containers).map((word) => ({ word, brief: "network" }));
  return [{ word: DEFAULT_NETWORK, brief: "the default network" }, ...made];
}

const APART: readonly Proposal[] = [
  { word: "none", brief: "a network of its own, with lo only" },
  { word: "host", brief: "this machine's network" },
];

const OF_CONTAINERS: ReadonlySet<string> = new Set([
  ...["pause", "unpause", "update", "diff", "export", "apply"],
  ...[
    "start",
    "stop",
    "kill",
    "wait",
    "restart",
    "rename",
    "exec",
    "fork",
    "attach",
    "rm",
    "inspect",
    "logs",
    "port",
    "commit",
    "top",
    "stats",
  ],
]);
const OF_IMAGES = new Set(["run", "create", "explain"]);

async function fromParser(words: readonly string[], context: Context): Promise<Proposal[]> {
  const proposals = await proposeCompletions(app, words, context);
  return proposals.map(({ completion, brief }) => ({ word: completion, brief }));
}

/** Words that can follow `words`, the last of which is being typed. */
export async function complete(typed: readonly string[], context: Context): Promise<Proposal[]> {
  const words = typed.length > 1 && Object.hasOwn(DOCKER_WORDS, typed[0] ?? "") ? ourWords(typed) : typed;
  const [first = "", ...rest] = words;
  const partial = words.at(-1) ?? "";
  const matching = (proposals: Proposal[]): Proposal[] => proposals.filter(({ word }) => word.startsWith(partial));
  if (words.length <= 1 && !partial.startsWith("-")) {
    return matching([...await fromParser([""], context), ...dockerWords(), ...images()]);
  }
  if (first === "cp" && !partial.startsWith("-")) return matching(containers().map(place));
  if (OF_CONTAINERS.has(first) && (!["exec", "fork"].includes(first) || rest.length === 1 || partial.startsWith("-"))) {
    return matching(partial.startsWith("-") ? await fromParser([first, "--"], context) : containers());
  }
  if (first === "network" && ["rm", "inspect"].includes(rest[0] ?? "") && rest.length > 1 && !partial.startsWith("-")) {
    return matching(networks());
  }
  if (first === "images" && OF_STORED.has(rest[0] ?? "") && rest.length > 1 && !partial.startsWith("-")) {
    return matching(storedImages());
  }
  const named = COMMANDS.has(first);
  if (named && !OF_IMAGES.has(first)) return await fromParser(words, context);
  const before = (named ? rest : words).slice(0, -1);
  // Behind the image stands what belongs to the container.
  if (normalizeRun(before, FLAG_TABLE).includes("--")) return [];
  if (["--network", "--net"].includes(words.at(-2) ?? "")) return matching([...networks(), ...APART]);
  if (partial.startsWith("-")) return matching(await fromParser([named ? first : "run", "--"], context));
  return matching(images());
}
