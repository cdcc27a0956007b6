/**
 * The commands of the life of containers that outlive a command.
 *
 * @module
 */

import { buildCommand, type Command } from "npm:@stricli/core@1.3.0";
import type { FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { DETACH_KEYS } from "./detach_keys.ts";
import { number } from "./flag.ts";
import type { AttachFlags } from "./attach.ts";
import type { KillFlags, StartFlags, StopFlags } from "./life.ts";
import { folderAliases, folderFlags, word, yes } from "./parameters.ts";

const containers = {
  kind: "array",
  minimum: 1,
  parameter: word("Name, id or beginning of an id", "CONTAINER"),
} as const;
const signal = { kind: "parsed", optional: true, ...word("Which, by name or number", "SIGNAL") } as const;
const time = {
  kind: "parsed",
  optional: true,
  brief: "How long to wait before it is killed; -1 for ever [default: 10]",
  placeholder: "SECONDS",
  parse: number,
} as const;

const detachKeys = {
  kind: "parsed",
  optional: true,
  ...word(`Those that disconnect from a terminal; none if empty [default: ${DETACH_KEYS}]`, "KEYS"),
} as const;

const start = buildCommand<StartFlags, [string, ...string[]], Context>({
  loader: async () => (await import("./life.ts")).start,
  parameters: {
    flags: {
      ...folderFlags,
      attach: yes("Show what it writes, and end with its exit code"),
      interactive: yes("With --attach: connect standard input"),
      detachKeys,
    },
    aliases: { c: "containers", a: "attach", i: "interactive" },
    positional: containers,
  },
  docs: {
    brief: "Start containers that have been made or have ended",
    fullDescription:
      "They run in the background, with all that was asked when they were made.\n\n  sauropod start web\n  sauropod start -ai job",
  },
});

const attach = buildCommand<AttachFlags, [string], Context>({
  loader: async () => (await import("./attach.ts")).attach,
  parameters: {
    flags: {
      ...folderFlags,
      noStdin: yes("Only show what it writes"),
      sigProxy: yes("Pass signals on [default: true]"),
      noSigProxy: yes("Do not pass signals on"),
      detachKeys,
    },
    aliases: folderAliases,
    positional: { kind: "tuple", parameters: [word("Name, id or beginning of an id", "CONTAINER")] },
  },
  docs: {
    brief: "Connect with a detached container",
    fullDescription: [
      "Shows what it writes from now on, and passes on what is typed if it was made with --interactive or --tty.",
      "Ends with its exit code; with a terminal, control-P control-Q disconnects.",
      "",
      "  sauropod attach web",
      "  sauropod attach --detach-keys ctrl-a,d web",
    ].join("\n"),
  },
});

const stop = buildCommand<StopFlags, [string, ...string[]], Context>({
  loader: async () => (await import("./life.ts")).stop,
  parameters: {
    flags: { ...folderFlags, time, signal },
    aliases: { ...folderAliases, t: "time", s: "signal" },
    positional: containers,
  },
  docs: {
    brief: "End containers",
    fullDescription:
      "Asks with SIGTERM, then kills. They are not started again.\n\n  sauropod stop web\n  sauropod stop -t 3 web db",
  },
});

const restart = buildCommand<StopFlags, [string, ...string[]], Context>({
  loader: async () => (await import("./life.ts")).restart,
  parameters: {
    flags: { ...folderFlags, time, signal },
    aliases: { ...folderAliases, t: "time", s: "signal" },
    positional: containers,
  },
  docs: { brief: "End containers and start them again", fullDescription: "  sauropod restart web" },
});

const kill = buildCommand<KillFlags, [string, ...string[]], Context>({
  loader: async () => (await import("./life.ts")).kill,
  parameters: { flags: { ...folderFlags, signal }, aliases: { ...folderAliases, s: "signal" }, positional: containers },
  docs: {
    brief: "Send a signal to containers",
    fullDescription: "SIGKILL unless another is named.\n\n  sauropod kill web\n  sauropod kill -s HUP web",
  },
});

const wait = buildCommand<FolderOptions, [string, ...string[]], Context>({
  loader: async () => (await import("./life.ts")).wait,
  parameters: { flags: folderFlags, aliases: folderAliases, positional: containers },
  docs: { brief: "Wait for the end of containers and print their exit codes", fullDescription: "  sauropod wait job" },
});

const rename = buildCommand<FolderOptions, [string, string], Context>({
  loader: async () => (await import("./life.ts")).rename,
  parameters: {
    flags: folderFlags,
    aliases: folderAliases,
    positional: {
      kind: "tuple",
      parameters: [word("Name, id or beginning of an id", "CONTAINER"), word("Its new name", "NAME")],
    },
  },
  docs: { brief: "Give a container another name", fullDescription: "  sauropod rename web old-web" },
});

/** The commands. */
export const life: Record<"start" | "attach" | "stop" | "restart" | "kill" | "wait" | "rename", Command<Context>> = {
  start,
  attach,
  stop,
  restart,
  kill,
  wait,
  rename,
};
