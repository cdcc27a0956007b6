/**
 * `sauropod top`: processes of a container.
 *
 * @module
 */

import { topOf } from "../../lib/container/stats/top.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { printJson, printOut, table } from "../output/output.ts";

/** The flags of `top`. */
export interface TopFlags extends FolderOptions {
  readonly json?: boolean;
}

/** Formats a time of the last day as hours and minutes, another one as a date. */
function shortTime(time: string): string {
  const date = new Date(time);
  if (Date.now() - date.getTime() > 86_400_000) return time.slice(0, 10);
  return [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
}

function duration(seconds: number): string {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** Lists the processes of a container. */
export function top(flags: TopFlags, query: string): void {
  const processes = topOf(findFolders(flags).containers, query);
  if (flags.json) return printJson(processes);
  const rows = processes.map(({ user, pid, hostPid, parent, cpuPercent, started, cpuSeconds, command }) => [
    user,
    String(pid),
    String(hostPid),
    String(parent),
    cpuPercent.toFixed(1),
    shortTime(started),
    duration(cpuSeconds),
    command,
  ]);
  printOut(table(["USER", "PID", "HPID", "PPID", "%CPU", "START", "TIME", "COMMAND"], rows));
}
