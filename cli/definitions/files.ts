/**
 * The commands for files of containers.
 *
 * @module
 */

import type { ApplyFlags } from "../commands/apply.ts";
import { type Command, command } from "../args/command.ts";
import type { CpFlags, ExportFlags } from "../commands/cp.ts";
import type { DiffFlags } from "../commands/diff.ts";
import { word, yes } from "../args/flag_schema.ts";
import { CONTAINER, folderFlags, json } from "../args/shared_flags.ts";

/** `sauropod cp`. */
export const cp: Command = command<CpFlags>({
  brief: "Copy files between containers and this machine",
  description: [
    "The container may run or not. A directory is copied into an existing directory; SOURCE/. means its contents.",
    "Files belong to root in a container, and to you on this machine, unless --archive is given.",
    "",
    "  sauropod cp ./src web:/srv",
    "  sauropod cp web:/var/log/app.log .",
    "  sauropod cp web:/etc - | tar -tv",
    "  tar -c . | sauropod cp - web:/srv",
  ].join("\n"),
  flags: {
    ...folderFlags,
    archive: yes("Keep owners, set-user-ID bits and attributes"),
    followLink: yes("Follow a symbolic link in SOURCE"),
    quiet: yes("Print no summary"),
  },
  // -L is docker's letter.
  short: { a: "archive", L: "followLink", q: "quiet" },
  words: [
    { name: "SOURCE", brief: "CONTAINER:PATH, a path of this machine, or - for an archive" },
    { name: "DESTINATION", brief: "Where to copy it, likewise" },
  ],
  load: async () => (await import("../commands/cp.ts")).cp,
});

/** `sauropod diff`. */
export const diff: Command = command<DiffFlags>({
  brief: "List the files that a container has changed",
  description: "A is added, C changed, D deleted; of a deleted directory only itself is shown.\n\n  sauropod diff web",
  flags: { ...folderFlags, json },
  words: [CONTAINER],
  load: async () => (await import("../commands/diff.ts")).diff,
});

/** `sauropod export`. */
export const exportContainer: Command = command<ExportFlags>({
  brief: "Write a container's files as a tar archive",
  description:
    "What is mounted in it is left out.\n\n  sauropod export -o web.tar web\n  sauropod export web | sauropod images import - web:copy",
  flags: { ...folderFlags, output: word("FILE", "Archive to write [default: standard output]") },
  short: { o: "output" },
  words: [CONTAINER],
  load: async () => (await import("../commands/cp.ts")).exportContainer,
});

/** `sauropod apply`. */
export const apply: Command = command<ApplyFlags>({
  brief: "Write what a container of host has changed to this machine",
  description: [
    "For a container that has ended: shows its changes, asks, and writes them, each file at once or not at all.",
    "Writes nothing, and ends with 1, if a file in question was changed here since the container was made.",
    "",
    "  sauropod --name try host make install",
    "  sauropod apply --dry-run try",
    "  sauropod apply try /usr/local /etc/app.conf",
  ].join("\n"),
  flags: {
    ...folderFlags,
    dryRun: yes("Show the changes only"),
    yes: yes("Do not ask"),
    force: yes("Overwrite what has changed here, too"),
    json,
  },
  short: { y: "yes", f: "force" },
  words: [CONTAINER, {
    name: "PATH",
    brief: "What to write [default: everything]",
    optional: true,
    repeated: true,
  }],
  load: async () => (await import("../commands/apply.ts")).apply,
});
