/**
 * The commands that show what containers use and change what they may.
 *
 * @module
 */

import type { FolderOptions } from "../../lib/host/folders.ts";
import { type Command, command } from "../args/command.ts";
import { one, word, yes } from "../args/flag_schema.ts";
import { FLAGS } from "../args/container_flags.ts";
import { CONTAINER, CONTAINERS, folderFlags, json } from "../args/shared_flags.ts";
import type { StatsFlags } from "../commands/stats.ts";
import type { TopFlags } from "../commands/top.ts";
import type { UpdateFlags } from "../commands/update.ts";

/** `sauropod pause`. */
export const pause: Command = command<FolderOptions>({
  brief: "Pause all processes of containers",
  description: "  sauropod pause web\n  sauropod ps; sauropod unpause web",
  flags: folderFlags,
  words: [CONTAINERS],
  load: async () => (await import("../commands/pause.ts")).pause,
});

/** `sauropod unpause`. */
export const unpause: Command = command<FolderOptions>({
  brief: "Resume paused containers",
  description: "  sauropod unpause web db",
  flags: folderFlags,
  words: [CONTAINERS],
  load: async () => (await import("../commands/pause.ts")).unpause,
});

const { cpuShares, cpus, cpusetCpus, cpusetMems, memory, memorySwap, memoryReservation, pidsLimit } = FLAGS;

/** `sauropod update`. */
export const update: Command = command<UpdateFlags>({
  brief: "Change limits and restart policies of containers",
  description: [
    "Limits that are not named stay. They hold at once where a container runs, and for all its later starts;",
    "all of them are changed, or none.",
    "",
    "  sauropod update --memory 512m --cpus 1.5 web",
    "  sauropod update --pids-limit 200 web db",
    "  sauropod update --restart on-failure:5 web",
  ].join("\n"),
  flags: {
    ...folderFlags,
    cpuShares,
    cpus,
    cpusetCpus,
    cpusetMems,
    memory,
    memorySwap,
    memoryReservation,
    pidsLimit,
    restart: word("POLICY", "no, on-failure[:TIMES], always or unless-stopped"),
  },
  short: { m: "memory" },
  words: [CONTAINERS],
  load: async () => (await import("../commands/update.ts")).update,
});

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0.1 && value <= 86_400) return value;
  throw new Error("expected seconds from 0.1 to 86400");
}

/** `sauropod stats`. */
export const stats: Command = command<StatsFlags>({
  brief: "Show resource usage of containers, live",
  description: [
    "Of the named containers, until they have ended; else of all that run. Memory is what the container's control",
    "group counts, without inactive page cache; without a memory limit it is the sum over its processes.",
    "",
    "  sauropod stats",
    "  sauropod stats --no-stream web db",
    "  sauropod stats --json --interval 5 web | jq .cpuPercent",
  ].join("\n"),
  flags: {
    ...folderFlags,
    all: yes("Show containers that do not run, too"),
    noStream: yes("Print it once, after one interval"),
    interval: one("SECONDS", "Time between two samples [default: 1]", seconds),
    json: yes("Print a JSON object for each container and sample"),
  },
  short: { a: "all" },
  words: [{ ...CONTAINERS, optional: true }],
  load: async () => (await import("../commands/stats.ts")).stats,
});

/** `sauropod port`. */
export const port: Command = command<FolderOptions>({
  brief: "Print published ports of a container",
  description: "  sauropod port web\n  sauropod port web 80",
  flags: folderFlags,
  words: [CONTAINER, { name: "PORT", brief: "PORT[/tcp|udp] [default: all]", optional: true }],
  load: async () => (await import("../commands/port.ts")).port,
});

/** `sauropod top`. */
export const top: Command = command<TopFlags>({
  brief: "List the processes of a container",
  description:
    "PID and PPID are numbers in the container, HPID those on this machine.\n\n  sauropod top web\n  sauropod top --json web",
  flags: { ...folderFlags, json },
  words: [CONTAINER],
  load: async () => (await import("../commands/top.ts")).top,
});
