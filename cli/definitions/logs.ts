/**
 * `sauropod logs` and `sauropod events`.
 *
 * @module
 */

import { type Command, command } from "../args/command.ts";
import type { EventsFlags } from "../commands/events.ts";
import { many, word, yes } from "../args/flag_schema.ts";
import type { LogsFlags } from "../commands/logs.ts";
import { CONTAINER, folderFlags } from "../args/shared_flags.ts";

const times = {
  since: word("TIME", "How long ago (90s, 1h30m), a date, or seconds since 1970"),
  until: word("TIME", "Last time to show, likewise"),
} as const;

/** `sauropod logs`. */
export const logs: Command = command<LogsFlags>({
  brief: "Print what a detached container has written",
  description: [
    "Its standard output goes to standard output, its standard error to standard error, byte for byte.",
    "",
    "  sauropod logs web",
    "  sauropod logs -f --tail 20 web",
    "  sauropod logs -t --since 1h30m --until 2026-11-24T06:15 web",
  ].join("\n"),
  flags: {
    ...folderFlags,
    ...times,
    follow: yes("Follow the log while the container runs"),
    tail: word("N", "Number of lines from the end [default: all]"),
    timestamps: yes("Begin each line with its time"),
    json: yes("Print a JSON object for each record"),
  },
  short: { f: "follow", n: "tail", t: "timestamps" },
  words: [CONTAINER],
  load: async () => (await import("../commands/logs.ts")).logs,
});

/** `sauropod events`. */
export const events: Command = command<EventsFlags>({
  brief: "Print events of containers as they happen",
  description: [
    "Prints what happens from now on; with --since, also what has happened. Ends at --until, or when interrupted.",
    "",
    "  sauropod events",
    "  sauropod events --since 10m --filter container=web --filter action=die",
    "  sauropod events --since 24h --until 0s --json",
  ].join("\n"),
  flags: {
    ...folderFlags,
    ...times,
    filter: many("KEY=VALUE", "container=NAME, action=create|start|die|destroy or image=NAME"),
    json: yes("Print a JSON object for each event"),
  },
  short: { f: "filter" },
  load: async () => (await import("../commands/events.ts")).events,
});
