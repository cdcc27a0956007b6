/**
 * The commands and their flags. What they do is loaded when they are called.
 *
 * @module
 */

import { buildCommand, buildRouteMap, type Command, type RouteMap } from "npm:@stricli/core@1.3.0";
import type { FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { EXEC_FLAGS, EXEC_SHORT } from "./exec.ts";
import type { Flag, Flags } from "./flag.ts";
import { FLAGS, SHORT } from "./flags.ts";
import { life } from "./app_life.ts";
import { apply, cp, diff, exportContainer } from "./app_files.ts";
import { commit, images } from "./app_images.ts";
import { login, logout } from "./app_login.ts";
import { events, logs } from "./app_logs.ts";
import { network } from "./app_network.ts";
import { pause, port, stats, top, unpause, update } from "./app_resources.ts";
import { folderAliases, folderFlags, json, word, yes } from "./parameters.ts";
import type { GcFlags } from "./gc.ts";
import type { InspectFlags } from "./inspect.ts";
import type { PsFlags } from "./ps.ts";
import type { RmFlags } from "./rm.ts";

type CommandDocumentation = { brief: string; fullDescription: string };

type Texts = Record<string, string | undefined>;

const OUTER = {
  "IMAGE COMMAND": "Name, such as alpine:3.20, or host\nWhat is run, and its arguments [default: the image's]",
  "CONTAINER COMMAND": "Name, id or beginning of an id\nWhat is run, and its arguments",
};

/** A command that is read before this is loaded, as the help and the completion know it. */
function documented<Values>(
  all: Flags<Values>,
  aliases: Readonly<Record<string, string>>,
  takes: { words: "IMAGE COMMAND" | "CONTAINER COMMAND"; minimum: number },
  docs: CommandDocumentation,
): Command<Context> {
  const entries: [string, Flag<unknown>][] = Object.entries(all);
  const flags = entries.map(([name, { brief, placeholder = "" }]) =>
    [name, { kind: "parsed", optional: true, ...word(brief, placeholder) }] as const
  );
  return buildCommand<Texts, string[], Context>({
    func: () => {},
    parameters: {
      flags: Object.fromEntries(flags),
      aliases,
      positional: { kind: "array", minimum: takes.minimum, parameter: word(OUTER[takes.words], takes.words) },
    },
    docs,
  });
}

const run = documented(FLAGS, SHORT, { words: "IMAGE COMMAND", minimum: 1 }, {
  brief: "Run a command in a new container",
  fullDescription: [
    "Makes a container of IMAGE, runs COMMAND in it and ends with its exit code.",
    "IMAGE is a folder or archive in the folder of images, or host: this machine's own files, copy-on-write.",
    "",
    "  sauropod alpine /bin/sh",
    "  sauropod run --rm alpine ls -l /",
    "  sauropod run --rm -v ./src:/src:ro --memory 256m --cpus 1.5 alpine ls /src",
    "  sauropod --rm --read-only --tmpfs /tmp -v .:/src host make -C /src check",
    "  sauropod run -d --name web --restart on-failure:5 -p 8080:80 alpine httpd -f",
    "",
    "Exit codes: the command's own; 128+N after signal N; 125 the container could not be made;",
    "126 the command could not be executed; 127 it was not found.",
  ].join("\n"),
});

const create = documented(FLAGS, SHORT, { words: "IMAGE COMMAND", minimum: 1 }, {
  brief: "Make a container that start starts",
  fullDescription:
    "Takes the options of run, prints the container's id.\n\n  sauropod create --name web -p 8080:80 alpine httpd -f",
});

const fork = documented(FLAGS, SHORT, { words: "CONTAINER COMMAND", minimum: 1 }, {
  brief: "Run a command in a new container with the files of another one",
  fullDescription: [
    "Takes the options of run; those that are not given, and the command, are the other container's, but for its name",
    "and published ports. Its files are there as they are now, copy-on-write, and it goes on undisturbed. One that runs is",
    "frozen while what it has changed is copied; one that does not run is forked at once, whatever its size.",
    "",
    "  sauropod fork -d --name web2 -p 8081:80 web",
    "  sauropod fork --rm db pg_dump app",
  ].join("\n"),
});

const exec = documented(EXEC_FLAGS, EXEC_SHORT, { words: "CONTAINER COMMAND", minimum: 2 }, {
  brief: "Run one more command in a running container",
  fullDescription: [
    "Ends with the command's exit code; as run does with 125, 126 and 127.",
    "",
    "  sauropod exec -it web sh",
    "  sauropod exec -u alice -e A=1 web env",
    "  echo 'select 1' | sauropod exec -i db psql",
  ].join("\n"),
});

const explain = documented(FLAGS, SHORT, { words: "IMAGE COMMAND", minimum: 1 }, {
  brief: "Print every system call that run would make, and why",
  fullDescription:
    "Takes the options of run, makes nothing; a missing image is pulled only with --pull.\n\n  sauropod explain --memory 64m alpine /bin/sh",
});

const count = (input: string): number => {
  if (/^\d{1,9}$/.test(input)) return Number(input);
  throw new Error(`${JSON.stringify(input)} is not a number of containers`);
};

const ps = buildCommand<PsFlags, [], Context>({
  loader: async () => (await import("./ps.ts")).ps,
  parameters: {
    flags: {
      ...folderFlags,
      all: yes("Also those that have ended"),
      filter: {
        kind: "parsed",
        optional: true,
        variadic: true,
        ...word("By id, name, label, status, image, network, health or exited; can be repeated", "KEY=VALUE"),
      },
      last: {
        kind: "parsed",
        optional: true,
        brief: "Only so many, those made last",
        placeholder: "N",
        parse: count,
      },
      latest: yes("Only the one made last"),
      noTrunc: yes("Commands whole"),
      format: {
        kind: "parsed",
        optional: true,
        ...word("What to write of each: '{{.Names}} {{.Status}}', 'table {{.ID}}\\t{{.Image}}', json", "TEXT"),
      },
      quiet: yes("Ids only"),
      json,
    },
    aliases: { ...folderAliases, a: "all", f: "filter", l: "latest", n: "last", q: "quiet" },
  },
  docs: {
    brief: "List containers",
    fullDescription: [
      "  sauropod ps -a",
      "  sauropod ps --filter status=exited --filter label=tier=web",
      "  sauropod ps --format '{{.Names}} {{.State}}'",
      "  sauropod ps --json",
    ].join("\n"),
  },
});

const rm = buildCommand<RmFlags, string[], Context>({
  loader: async () => (await import("./rm.ts")).rm,
  parameters: {
    flags: { ...folderFlags, force: yes("Kill it if it runs"), all: yes("Every container that has ended") },
    aliases: { ...folderAliases, f: "force" },
    positional: { kind: "array", parameter: word("Name, id or beginning of an id", "CONTAINER") },
  },
  docs: {
    brief: "Remove containers",
    fullDescription: "  sauropod rm web 3f2a\n  sauropod rm --all",
  },
});

const inspect = buildCommand<InspectFlags, [string, ...string[]], Context>({
  loader: async () => (await import("./inspect.ts")).inspect,
  parameters: {
    flags: {
      ...folderFlags,
      format: {
        kind: "parsed",
        optional: true,
        ...word("What to write of each: '{{.pid}} {{json .networks}}'", "TEXT"),
      },
    },
    aliases: { ...folderAliases, f: "format" },
    positional: { kind: "array", minimum: 1, parameter: word("Name, id or beginning of an id", "CONTAINER") },
  },
  docs: {
    brief: "Print what is known of containers, as JSON",
    fullDescription: [
      "  sauropod inspect web",
      "  sauropod inspect --format '{{.State.Pid}} {{.NetworkSettings.IPAddress}}' web",
      "  sauropod inspect --format '{{json .options.env}}' web",
    ].join("\n"),
  },
});

const orphans = yes("End containers whose directory was removed");

const gc = buildCommand<GcFlags, [], Context>({
  loader: async () => (await import("./gc.ts")).gc,
  parameters: { flags: { ...folderFlags, json, orphans }, aliases: folderAliases },
  docs: {
    brief: "Take away what killed commands left",
    fullDescription:
      "Always safe to run; other commands do the same in passing.\n\n  sauropod gc\n  sauropod gc --orphans",
  },
});

const doctor = buildCommand<FolderOptions & { json?: boolean }, [], Context>({
  loader: async () => (await import("./doctor.ts")).doctor,
  parameters: { flags: { ...folderFlags, json }, aliases: folderAliases },
  docs: {
    brief: "Say what this kernel, its control groups and this user can do",
    fullDescription: "Ends with 1 if containers cannot be run at all.\n\n  sauropod doctor",
  },
});

const completions = buildCommand<Record<never, never>, ["bash" | "zsh" | "fish"], Context>({
  loader: async () => (await import("./completions.ts")).completions,
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "Which shell",
        placeholder: "bash|zsh|fish",
        parse: (input: string): "bash" | "zsh" | "fish" => {
          if (input === "bash" || input === "zsh" || input === "fish") return input;
          throw new Error(`${JSON.stringify(input)} is not bash, zsh or fish`);
        },
      }],
    },
  },
  docs: {
    brief: "Print a script that completes words in your shell",
    fullDescription: [
      "  source <(sauropod completions bash)",
      "  sauropod completions zsh > ~/.zfunc/_sauropod",
      "  sauropod completions fish > ~/.config/fish/completions/sauropod.fish",
    ].join("\n"),
  },
});

const routes = {
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
};

/** Sauropod's commands. */
export const root: RouteMap<Context> = buildRouteMap({
  routes,
  docs: {
    brief: "Containers, without a daemon",
    fullDescription: [
      "sauropod IMAGE COMMAND is short for sauropod run IMAGE COMMAND. A first try, with this machine's own files:",
      "",
      "  sauropod host /bin/sh",
      "",
      "sauropod COMMAND --help says more.",
    ].join("\n"),
  },
});
