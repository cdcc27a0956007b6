/**
 * Shell completion: candidates for the word being typed.
 *
 * @module
 */

import { normalizeArgs } from "../args/normalize.ts";
import { printable } from "../../lib/text/printable.ts";
import { type Choice, type Choices, images, NOTHING, ofFlag, ofPlaceholder } from "./completion_values.ts";
import { type Command, isGroup } from "../args/command.ts";
import { find } from "./dispatch.ts";
import { DOCKER_ALIASES, translateDockerAlias } from "../args/docker_aliases.ts";
import { type Flags, kebab, tableOf } from "../args/flag_schema.ts";

// Placeholder of the word being typed: not a flag, and impossible to type.
const MARK = "-\0";
// Commands whose arguments after the first one belong to another command.
const OUTER: readonly string[] = ["run", "create", "fork", "explain", "exec"];

function dockerWords(): Choice[] {
  return Object.entries(DOCKER_ALIASES).map(([word, ours]) => ({ word, brief: `docker's name for ${ours.join(" ")}` }));
}

function valueOf(name: string, command: string, flags: Flags<Record<string, unknown>>, typed: string): Choices {
  const [found, flag] = Object.entries(flags).find(([one]) => kebab(one) === name) ?? [];
  return flag?.placeholder === undefined ? NOTHING : ofFlag(command, found ?? "", flag.placeholder, typed);
}

/** Returns the candidates after `before`, the arguments of a command so far. */
function inCommand(name: string, command: Command, before: readonly string[], typed: string): Choices {
  const { flags, short, words: takes } = command;
  const normalized = normalizeArgs([...before, MARK], tableOf(flags, short), !OUTER.includes(name));
  const end = normalized.includes("--") ? normalized.indexOf("--") : normalized.length;
  const typedFlags = normalized.slice(0, end), others = normalized.slice(end + 1).filter((word) => word !== MARK);
  const open = typedFlags.find((word) => word.endsWith(`=${MARK}`));
  if (open !== undefined) return valueOf(open.slice(2, -MARK.length - 1), name, flags, typed);
  if (typedFlags.includes(MARK) && typed.startsWith("-")) {
    const [flag = "", value] = typed.split(/=(.*)/s);
    if (value !== undefined) {
      const { words, files } = valueOf(flag.replace(/^--?/, ""), name, flags, value);
      return { words: words.map(({ word, brief }) => ({ word: `${flag}=${word}`, brief })), files };
    }
    const all = Object.entries(flags).map(([name, { brief }]) => ({ word: `--${kebab(name)}`, brief }));
    return { words: [...all, { word: "--help", brief: "Print help" }] };
  }
  const last = takes.length - 1;
  const at = takes.at(-1)?.repeated && !OUTER.includes(name) ? Math.min(others.length, last) : others.length;
  if (OUTER.includes(name) && at > 0) return { words: [], files: others[0] === "host" && name !== "exec" };
  const choices = ofPlaceholder(name, takes[at]?.name ?? "", typed);
  return { ...choices, words: choices.words.filter(({ word }) => !others.includes(word)) };
}

function candidates(words: readonly string[], typed: string): Choices {
  const before = words.slice(0, -1), { path, target, rest } = find(before);
  if (!isGroup(target)) return inCommand(path.join(" "), target, rest, typed);
  const commands = Object.entries(target.commands).map(([word, { brief }]) => ({ word, brief }));
  const first = rest.length === 0 && !typed.startsWith("-");
  if (path.length > 0) {
    const command = target.fallback;
    return first ? { words: commands } : command ? inCommand(path.join(" "), command, rest, typed) : NOTHING;
  }
  if (first) return { words: [...commands, ...dockerWords(), ...images()] };
  const run = find(["run"]).target;
  return isGroup(run) ? NOTHING : inCommand("run", run, rest, typed);
}

/** Returns the candidates for the last of `words`. */
export function complete(words: readonly string[]): Choices {
  const typed = words.at(-1) ?? "";
  const [first = ""] = words;
  const ours = words.length > 1 && Object.hasOwn(DOCKER_ALIASES, first) ? translateDockerAlias(words) : words;
  const { words: all, files } = candidates(first === "help" && words.length > 1 ? ours.slice(1) : ours, typed);
  // Names with control characters are not offered, and briefs are printed by the shell.
  const shown = all.filter(({ word }) => word.startsWith(typed) && word === printable(word));
  return { words: shown.map(({ word, brief }) => ({ word, brief: printable(brief) })), files };
}
