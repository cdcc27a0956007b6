/**
 * All commands. What they do is loaded when they are called.
 *
 * @module
 */

import type { FolderOptions } from "../../lib/host/folders.ts";
import { type Command, command, type CommandGroup, type Word } from "../args/command.ts";
import { EXEC_FLAGS, EXEC_SHORT } from "../commands/exec.ts";
import { many, one, word, yes } from "../args/flag_schema.ts";
import { FLAGS, SHORT } from "../args/container_flags.ts";
import { life } from "./life.ts";
import { apply, cp, diff, exportContainer } from "./files.ts";
import { commit, images } from "./images.ts";
import { login, logout } from "./login.ts";
import { events, logs } from "./logs.ts";
import { network } from "./network.ts";
import { pause, port, stats, top, unpause, update } from "./resources.ts";
import { CONTAINER, CONTAINERS, folderFlags, json } from "../args/shared_flags.ts";
import type { GcFlags } from "../commands/gc.ts";
import type { InspectFlags } from "../commands/inspect.ts";
import type { PsFlags } from "../commands/ps.ts";
import type { RmFlags } from "../commands/rm.ts";

const IMAGE: Word = { name: "IMAGE", brief: "Name, such as alpine:3.20, or host" };
const COMMAND: Word = { name: "COMMAND", brief: "Command and its arguments", repeated: true };
const OPTIONAL_COMMAND: Word = { ...COMMAND, brief: `${COMMAND.brief} [default: the image's]`, optional: true };

// These five leave all behind IMAGE or CONTAINER to the container; cli.ts reads and calls them itself, without this module.
const run: Command = {
  brief: "Run a command in a new container",
  description: [
    "Creates a container from IMAGE, runs COMMAND in it and ends with its exit status.",
    "IMAGE is a name, a directory or archive in the images directory, or host: a copy-on-write view of this machine.",
    "",
    "  sauropod alpine /bin/sh",
    "  sauropod run --rm alpine ls -l /",
    "  sauropod run --rm -v ./src:/src:ro --memory 256m --cpus 1.5 alpine ls /src",
    "  sauropod --rm --read-only --tmpfs /tmp -v .:/src host make -C /src check",
    "  sauropod run -d --name web --restart on-failure:5 -p 8080:80 alpine nc -lk -p 80 -e cat",
    "",
    "Exit status: the command's own; 128+N after signal N; 125 the container could not be created;",
    "126 the command could not be executed; 127 it was not found.",
  ].join("\n"),
  flags: FLAGS,
  short: SHORT,
  words: [IMAGE, OPTIONAL_COMMAND],
};

const create: Command = {
  ...run,
  brief: "Create a container for start",
  description:
    "Takes the options of run and prints the container's ID.\n\n  sauropod create --name web -p 8080:80 alpine",
};

const fork: Command = {
  ...run,
  brief: "Run a command in a copy of another container",
  description: [
    "Takes the options of run; those that are not given, and the command, are the other container's, except its name",
    "and published ports. Its files are there as they are now, copy-on-write, and it goes on undisturbed. A running one",
    "is frozen while its changes are copied; a stopped one is forked at once, whatever its size.",
    "",
    "  sauropod fork -d --name web2 -p 8081:80 web",
    "  sauropod fork --rm db pg_dump app",
  ].join("\n"),
  words: [CONTAINER, { ...OPTIONAL_COMMAND, brief: COMMAND.brief }],
};

const exec: Command = {
  brief: "Run a command in a running container",
  description: [
    "Ends with the command's exit status, or 125, 126 and 127 as run does.",
    "",
    "  sauropod exec -it web sh",
    "  sauropod exec -u alice -e A=1 web env",
    "  echo 'select 1' | sauropod exec -i db psql",
  ].join("\n"),
  flags: EXEC_FLAGS,
  short: EXEC_SHORT,
  words: [CONTAINER, COMMAND],
};

const explain: Command = {
  ...run,
  brief: "Print every system call that run would make, and why",
  description:
    "Takes the options of run and runs nothing; a missing image is pulled only with --pull.\n\n  sauropod explain --memory 64m alpine /bin/sh",
};

function count(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Error("expected a number of containers");
}

const ps = command<PsFlags>({
  brief: "List containers",
  description: [
    "  sauropod ps -a",
    "  sauropod ps --filter status=exited --filter label=tier=web",
    "  sauropod ps --format '{{.Names}} {{.State}}'",
    "  sauropod ps --json",
  ].join("\n"),
  flags: {
    ...folderFlags,
    all: yes("Show containers that have ended, too"),
    filter: many("KEY=VALUE", "By id, name, label, status, image, network, health or exited"),
    last: one("N", "Show the N containers created last", count),
    latest: yes("Show the container created last"),
    noTrunc: yes("Show commands whole"),
    format: word("TEXT", "Template: '{{.Names}} {{.Status}}', 'table {{.ID}}\\t{{.Image}}', json"),
    quiet: yes("Print IDs only"),
    json,
  },
  short: { a: "all", f: "filter", l: "latest", n: "last", q: "quiet" },
  load: async () => (await import("../commands/ps.ts")).ps,
});

const rm = command<RmFlags>({
  brief: "Remove containers",
  description: "  sauropod rm web 3f2a\n  sauropod rm --all",
  flags: { ...folderFlags, force: yes("Kill it if it runs"), all: yes("Remove every container that has ended") },
  short: { f: "force" },
  words: [{ ...CONTAINERS, optional: true }],
  load: async () => (await import("../commands/rm.ts")).rm,
});

const inspect = command<InspectFlags>({
  brief: "Print containers as JSON",
  description: [
    "  sauropod inspect web",
    "  sauropod inspect --format '{{.State.Pid}} {{.NetworkSettings.IPAddress}}' web",
    "  sauropod inspect --format '{{json .options.env}}' web",
  ].join("\n"),
  flags: { ...folderFlags, format: word("TEXT", "Template: '{{.pid}} {{json .networks}}'") },
  short: { f: "format" },
  words: [CONTAINERS],
  load: async () => (await import("../commands/inspect.ts")).inspect,
});

const gc = command<GcFlags>({
  brief: "Clean up after commands that were killed",
  description: "Always safe to run; other commands do the same in passing.\n\n  sauropod gc\n  sauropod gc --orphans",
  flags: { ...folderFlags, json, orphans: yes("End containers whose directory was removed") },
  load: async () => (await import("../commands/gc.ts")).gc,
});

const doctor = command<FolderOptions & { json?: boolean }>({
  brief: "Check what this machine can do",
  description: "Ends with 1 if containers cannot be run at all.\n\n  sauropod doctor",
  flags: { ...folderFlags, json },
  load: async () => (await import("../commands/doctor.ts")).doctor,
});

const completions = command<Record<never, never>>({
  brief: "Print a completion script for your shell",
  description: [
    "  source <(sauropod completions bash)",
    "  sauropod completions zsh > ~/.zfunc/_sauropod",
    "  sauropod completions fish > ~/.config/fish/completions/sauropod.fish",
  ].join("\n"),
  flags: {},
  words: [{ name: "bash|zsh|fish", brief: "Shell" }],
  load: async () => (await import("../commands/completions.ts")).completions,
});

/** Sauropod's commands. */
export const root: CommandGroup = {
  brief: "Containers, without a daemon",
  description: [
    "sauropod IMAGE COMMAND is short for sauropod run IMAGE COMMAND. A first try, with this machine's own files:",
    "",
    "  sauropod host /bin/sh",
    "",
    "sauropod COMMAND --help says more.",
  ].join("\n"),
  commands: {
    run,
    create,
    fork,
    ...life,
    exec,
    ps,
    rm,
    inspect,
    logs,
    cp,
    diff,
    export: exportContainer,
    apply,
    events,
    port,
    top,
    stats,
    pause,
    unpause,
    update,
    images,
    commit,
    login,
    logout,
    network,
    explain,
    gc,
    doctor,
    completions,
  },
};
