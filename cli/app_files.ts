/**
 * The commands for files of containers, and their flags.
 *
 * @module
 */

import { buildCommand, type Command } from "npm:@stricli/core@1.3.0";
import type { ApplyFlags } from "./apply.ts";
import type { Context } from "./context.ts";
import type { CpFlags, ExportFlags } from "./cp.ts";
import type { DiffFlags } from "./diff.ts";
import { folderAliases, folderFlags, json, word, yes } from "./parameters.ts";

const container = word("Name, id or beginning of an id", "CONTAINER");

/** `sauropod cp`. */
export const cp: Command<Context> = buildCommand<CpFlags, [string, string], Context>({
  loader: async () => (await import("./cp.ts")).cp,
  parameters: {
    flags: {
      ...folderFlags,
      archive: yes("Keep owners, set-user-id bits and extended attributes"),
      followLink: yes("If SOURCE is a symbolic link, copy what it leads to"),
      quiet: yes("Say nothing of what was copied or left out"),
    },
    // -L is the letter of docker; all others are those of the flags.
    aliases: { ...folderAliases, a: "archive", L: "followLink", q: "quiet" },
    positional: {
      kind: "tuple",
      parameters: [
        word("CONTAINER:PATH, a path of this machine, or - for an archive", "SOURCE"),
        word("Where to, likewise", "DESTINATION"),
      ],
    },
  },
  docs: {
    brief: "Copy files between containers and this machine",
    fullDescription: [
      "The container may run or not. A folder is copied into a folder that exists; SOURCE/. means what is in it.",
      "Files belong to root in a container, and here to who copies them, unless --archive.",
      "",
      "  sauropod cp ./src web:/srv",
      "  sauropod cp web:/var/log/app.log .",
      "  sauropod cp web:/etc - | tar -tv",
      "  tar -c . | sauropod cp - web:/srv",
    ].join("\n"),
  },
});

/** `sauropod diff`. */
export const diff: Command<Context> = buildCommand<DiffFlags, [string], Context>({
  loader: async () => (await import("./diff.ts")).diff,
  parameters: {
    flags: { ...folderFlags, json },
    aliases: folderAliases,
    positional: { kind: "tuple", parameters: [container] },
  },
  docs: {
    brief: "List what a container has changed in its image's files",
    fullDescription: "A added, C changed, D deleted; of a deleted folder only itself.\n\n  sauropod diff web",
  },
});

/** `sauropod export`. */
export const exportContainer: Command<Context> = buildCommand<ExportFlags, [string], Context>({
  loader: async () => (await import("./cp.ts")).exportContainer,
  parameters: {
    flags: {
      ...folderFlags,
      output: { kind: "parsed", optional: true, ...word("Archive [default: standard output]", "FILE") },
    },
    aliases: { ...folderAliases, o: "output" },
    positional: { kind: "tuple", parameters: [container] },
  },
  docs: {
    brief: "Write all files of a container as a tar archive, without what is mounted in it",
    fullDescription: "  sauropod export -o web.tar web\n  sauropod export web | sauropod images import - web:copy",
  },
});

/** `sauropod apply`. */
export const apply: Command<Context> = buildCommand<ApplyFlags, [string, ...string[]], Context>({
  loader: async () => (await import("./apply.ts")).apply,
  parameters: {
    flags: {
      ...folderFlags,
      dryRun: yes("Only show what would be written"),
      yes: yes("Do not ask"),
      force: yes("Also where this machine has changed meanwhile"),
      json,
    },
    aliases: { ...folderAliases, y: "yes", f: "force" },
    positional: {
      kind: "array",
      minimum: 1,
      parameter: word(
        "Name, id or beginning of an id\nOnly what was changed there [default: everything]",
        "CONTAINER PATH",
      ),
    },
  },
  docs: {
    brief: "Write what a container of the image host has changed to this machine",
    fullDescription: [
      "For a container that has ended: shows its changes, asks, and writes them, each file at once or not at all.",
      "Nothing is written if something that it would touch was changed here since the container was made: ends with 1.",
      "",
      "  sauropod --name try host make install",
      "  sauropod apply --dry-run try",
      "  sauropod apply try /usr/local /etc/app.conf",
    ].join("\n"),
  },
});
