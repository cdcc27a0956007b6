/**
 * The commands that look at what containers use and change what they may, and their flags.
 *
 * @module
 */

import { buildCommand, type Command } from "npm:@stricli/core@1.3.0";
import type { FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { FLAGS } from "./flags.ts";
import { asInRun, folderAliases, folderFlags, json, word, yes } from "./parameters.ts";
import type { StatsFlags } from "./stats.ts";
import type { TopFlags } from "./top.ts";
import type { UpdateFlags } from "./update.ts";

const query = word("Name, id or beginning of an id", "CONTAINER");
const some = { kind: "array", minimum: 1, parameter: query } as const;

/** `sauropod pause`. */
export const pause: Command<Context> = buildCommand<FolderOptions, [string, ...string[]], Context>({
  loader: async () => (await import("./pause.ts")).pause,
  parameters: { flags: folderFlags, aliases: folderAliases, positional: some },
  docs: {
    brief: "Freeze all processes of containers",
    fullDescription: "  sauropod pause web\n  sauropod ps; sauropod unpause web",
  },
});

/** `sauropod unpause`. */
export const unpause: Command<Context> = buildCommand<FolderOptions, [string, ...string[]], Context>({
  loader: async () => (await import("./pause.ts")).unpause,
  parameters: { flags: folderFlags, aliases: folderAliases, positional: some },
  docs: { brief: "Let paused containers run again", fullDescription: "  sauropod unpause web db" },
});

/** `sauropod update`. */
export const update: Command<Context> = buildCommand<UpdateFlags, [string, ...string[]], Context>({
  loader: async () => (await import("./update.ts")).update,
  parameters: {
    flags: {
      ...folderFlags,
      cpuShares: asInRun(FLAGS.cpuShares),
      cpus: asInRun(FLAGS.cpus),
      cpusetCpus: asInRun(FLAGS.cpusetCpus),
      cpusetMems: asInRun(FLAGS.cpusetMems),
      memory: asInRun(FLAGS.memory),
      memorySwap: asInRun(FLAGS.memorySwap),
      memoryReservation: asInRun(FLAGS.memoryReservation),
      pidsLimit: asInRun(FLAGS.pidsLimit),
      restart: {
        kind: "parsed",
        optional: true,
        ...word("When to start it again: no, on-failure[:TIMES], always or unless-stopped", "POLICY"),
      },
    },
    aliases: { ...folderAliases, m: "memory" },
    positional: some,
  },
  docs: {
    brief: "Change limits of containers, and when they are started again",
    fullDescription: [
      "Limits that are not named stay. They hold at once where a container runs, and for all its later starts;",
      "all of them are changed, or none.",
      "",
      "  sauropod update --memory 512m --cpus 1.5 web",
      "  sauropod update --pids-limit 200 web db",
      "  sauropod update --restart on-failure:5 web",
    ].join("\n"),
  },
});

const seconds = (input: string): number => {
  const value = Number(input);
  if (input.trim() !== "" && value >= 0.1 && value <= 86_400) return value;
  throw new Error(`${JSON.stringify(input)} is not a number of seconds from 0.1 to 86400`);
};

/** `sauropod stats`. */
export const stats: Command<Context> = buildCommand<StatsFlags, string[], Context>({
  loader: async () => (await import("./stats.ts")).stats,
  parameters: {
    flags: {
      ...folderFlags,
      all: yes("Also containers that do not run"),
      noStream: yes("Print it once, after one interval, and end"),
      interval: {
        kind: "parsed",
        optional: true,
        brief: "Time between two looks [default: 1]",
        placeholder: "SECONDS",
        parse: seconds,
      },
      json: yes("Print JSON, a line for each container and look"),
    },
    aliases: { ...folderAliases, a: "all" },
    positional: { kind: "array", parameter: query },
  },
  docs: {
    brief: "Show what containers use, again and again",
    fullDescription: [
      "Of the containers that are named, until they have ended; else of all that run.",
      "Memory is what the container's control group counts, without idle page cache; without a limit on memory",
      "it is what its processes have.",
      "",
      "  sauropod stats",
      "  sauropod stats --no-stream web db",
      "  sauropod stats --json --interval 5 web | jq .cpuPercent",
    ].join("\n"),
  },
});

/** `sauropod port`. */
export const port: Command<Context> = buildCommand<FolderOptions, [string, string?], Context>({
  loader: async () => (await import("./port.ts")).port,
  parameters: {
    flags: folderFlags,
    aliases: folderAliases,
    positional: {
      kind: "tuple",
      parameters: [query, { ...word("PORT[/tcp|udp] [default: all]", "PORT"), optional: true }],
    },
  },
  docs: {
    brief: "Say where the ports of a container are published",
    fullDescription: "Prints addresses of this machine.\n\n  sauropod port web\n  sauropod port web 80",
  },
});

/** `sauropod top`. */
export const top: Command<Context> = buildCommand<TopFlags, [string], Context>({
  loader: async () => (await import("./top.ts")).top,
  parameters: {
    flags: { ...folderFlags, json },
    aliases: folderAliases,
    positional: { kind: "tuple", parameters: [query] },
  },
  docs: {
    brief: "List the processes of a container",
    fullDescription:
      "PID and PPID are numbers in the container, HPID those on this machine.\n\n  sauropod top web\n  sauropod top --json web",
  },
});
