/**
 * Text of `--help`.
 *
 * @module
 */

import { isGroup } from "../args/command.ts";
import { type Found, usage } from "./dispatch.ts";
import { kebab } from "../args/flag_schema.ts";

const WIDTH = 110, NARROWEST = 50;

type Row = readonly [term: string, brief: string];

/** Wraps a text to lines of at most `width`. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function section(heading: string, rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  const column = Math.max(...rows.map(([term]) => term.length)) + 2;
  const lines = rows.flatMap(([term, brief]) =>
    wrapped(brief, Math.max(NARROWEST, WIDTH - column)).map((line, i) => (i === 0 ? term : "").padEnd(column) + line)
  );
  return ["", heading, ...lines.map((line) => `  ${line}`)];
}

const HELP: Row = ["    --help", "Print help"];
const OF_ALL: readonly Row[] = [HELP, ["    --version", "Print the version"]];

function flagRows({ target }: Found): Row[] {
  if (isGroup(target)) return [];
  const letters = new Map(Object.entries(target.short).map(([letter, name]) => [name, letter]));
  return Object.entries(target.flags).map(([name, { brief, placeholder }]) => {
    const letter = letters.get(name);
    const value = placeholder === undefined ? "" : ` ${placeholder}`;
    return [`${letter === undefined ? "   " : `-${letter},`} --${kebab(name)}${value}`, brief];
  });
}

/** Formats the help of a command. */
export function help(found: Found): string {
  const { path, target } = found;
  const commands = isGroup(target) ? Object.entries(target.commands) : [];
  const words = isGroup(target) ? [] : target.words;
  const own = path.length === 0 ? OF_ALL : [HELP];
  return [
    "USAGE",
    `  ${usage(found)}`,
    ...(path.length === 0 ? ["  sauropod COMMAND …"] : []),
    "",
    target.brief,
    "",
    target.description,
    ...section("COMMANDS", commands.map(([name, { brief }]): Row => [name, brief])),
    ...section("ARGUMENTS", words.map(({ name, brief }): Row => [name, brief])),
    ...section("FLAGS", [...flagRows(found), ...own]),
    "",
  ].join("\n");
}
