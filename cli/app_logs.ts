/**
 * `sauropod logs`, `sauropod events` and their flags.
 *
 * @module
 */

import { buildCommand, type Command } from "npm:@stricli/core@1.3.0";
import type { Context } from "./context.ts";
import type { EventsFlags } from "./events.ts";
import type { LogsFlags } from "./logs.ts";
import { folderAliases, folderFlags, word, yes } from "./parameters.ts";

const times = {
  since: {
    kind: "parsed",
    optional: true,
    ...word("How long ago (90s, 1h30m), a date or seconds since 1970", "TIME"),
  },
  until: { kind: "parsed", optional: true, ...word("The last time that is wanted", "TIME") },
} as const;

/** `sauropod logs`. */
export const logs: Command<Context> = buildCommand<LogsFlags, [string], Context>({
  loader: async () => (await import("./logs.ts")).logs,
  parameters: {
    flags: {
      ...folderFlags,
      ...times,
      follow: yes("Go on as long as the container runs"),
      tail: { kind: "parsed", optional: true, ...word("Only so many lines from the end [default: all]", "N") },
      timestamps: yes("Begin each line with its time"),
      json: yes("Print JSON, one object a record"),
    },
    aliases: { ...folderAliases, f: "follow", n: "tail", t: "timestamps" },
    positional: { kind: "tuple", parameters: [word("Name, id or beginning of an id", "CONTAINER")] },
  },
  docs: {
    brief: "Print what a detached container has written",
    fullDescription: [
      "What it wrote to its standard output goes to standard output, what it wrote to its standard error to",
      "standard error, byte for byte.",
      "",
      "  sauropod logs web",
      "  sauropod logs -f --tail 20 web",
      "  sauropod logs -t --since 1h30m --until 2026-11-24T06:15 web",
    ].join("\n"),
  },
});

/** `sauropod events`. */
export const events: Command<Context> = buildCommand<EventsFlags, [], Context>({
  loader: async () => (await import("./events.ts")).events,
  parameters: {
    flags: {
      ...folderFlags,
      ...times,
      filter: {
        kind: "parsed",
        optional: true,
        variadic: true,
        ...word("By container=NAME, action=create|start|die|destroy or image=NAME; can be repeated", "KEY=VALUE"),
      },
      json: yes("Print JSON, one object an event"),
    },
    aliases: { ...folderAliases, f: "filter" },
  },
  docs: {
    brief: "Print what happens with containers, as it happens",
    fullDescription: [
      "Prints what happens from now on; with --since, also what has happened. Ends at --until, else when interrupted.",
      "",
      "  sauropod events",
      "  sauropod events --since 10m --filter container=web --filter action=die",
      "  sauropod events --since 24h --until 0s --json",
    ].join("\n"),
  },
});
