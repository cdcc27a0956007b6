/**
 * The commands that start, connect to and stop containers.
 *
 * @module
 */

import type { FolderOptions } from "../../lib/host/folders.ts";
import type { AttachFlags } from "../commands/attach.ts";
import { type Command, command } from "../args/command.ts";
import { DETACH_KEYS } from "../terminal/detach_keys.ts";
import { number, one, word, yes } from "../args/flag_schema.ts";
import type { KillFlags, StartFlags, StopFlags } from "../commands/life.ts";
import { CONTAINER, CONTAINERS, folderFlags } from "../args/shared_flags.ts";

const loadActions = () => import("../commands/life.ts");
const signal = word("SIGNAL", "Signal to send, by name or number");
const detachKeys = word("KEYS", `Keys that detach from a terminal; none if empty [default: ${DETACH_KEYS}]`);

const STOP_FLAGS = {
  ...folderFlags,
  time: one("SECONDS", "Time before it is killed; -1 for ever [default: 10]", number),
  signal,
};
const STOP_LETTERS = { t: "time", s: "signal" } as const;

const start = command<StartFlags>({
  brief: "Start containers that were created or have ended",
  description:
    "They run detached, with the options that they were created with.\n\n  sauropod start web\n  sauropod start -ai job",
  flags: {
    ...folderFlags,
    attach: yes("Print its output and end with its exit status"),
    interactive: yes("With --attach, connect standard input"),
    detachKeys,
  },
  short: { a: "attach", i: "interactive" },
  words: [CONTAINERS],
  load: async () => (await loadActions()).start,
});

const attach = command<AttachFlags>({
  brief: "Attach to a detached container",
  description: [
    "Prints what it writes from now on, and passes on what is typed if it was created with --interactive or --tty.",
    "Ends with its exit status; with a terminal, control-P control-Q detaches.",
    "",
    "  sauropod attach web",
    "  sauropod attach --detach-keys ctrl-a,d web",
  ].join("\n"),
  flags: {
    ...folderFlags,
    noStdin: yes("Do not connect standard input"),
    sigProxy: yes("Pass signals on [default: true]"),
    noSigProxy: yes("Do not pass signals on"),
    detachKeys,
  },
  words: [CONTAINER],
  load: async () => (await import("../commands/attach.ts")).attach,
});

const stop = command<StopFlags>({
  brief: "Stop containers",
  description:
    "Sends SIGTERM, then SIGKILL. They are not restarted.\n\n  sauropod stop web\n  sauropod stop -t 3 web db",
  flags: STOP_FLAGS,
  short: STOP_LETTERS,
  words: [CONTAINERS],
  load: async () => (await loadActions()).stop,
});

const restart = command<StopFlags>({
  brief: "Stop containers and start them again",
  description: "  sauropod restart web",
  flags: STOP_FLAGS,
  short: STOP_LETTERS,
  words: [CONTAINERS],
  load: async () => (await loadActions()).restart,
});

const kill = command<KillFlags>({
  brief: "Send a signal to containers",
  description: "Sends SIGKILL unless another is named.\n\n  sauropod kill web\n  sauropod kill -s HUP web",
  flags: { ...folderFlags, signal },
  short: { s: "signal" },
  words: [CONTAINERS],
  load: async () => (await loadActions()).kill,
});

const wait = command<FolderOptions>({
  brief: "Wait for containers to end and print their exit statuses",
  description: "  sauropod wait job",
  flags: folderFlags,
  words: [CONTAINERS],
  load: async () => (await loadActions()).wait,
});

const rename = command<FolderOptions>({
  brief: "Rename a container",
  description: "  sauropod rename web old-web",
  flags: folderFlags,
  words: [CONTAINER, { name: "NAME", brief: "Its new name" }],
  load: async () => (await loadActions()).rename,
});

/** The commands. */
export const life: Readonly<Record<"start" | "attach" | "stop" | "restart" | "kill" | "wait" | "rename", Command>> = {
  start,
  attach,
  stop,
  restart,
  kill,
  wait,
  rename,
};
