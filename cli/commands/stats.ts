/**
 * `sauropod stats`: resource usage of containers.
 *
 * @module
 */

import { requireRunning, type Running } from "../../lib/container/state/running.ts";
import { reclaim } from "../../lib/container/state/reclaim.ts";
import { findContainer, listContainers } from "../../lib/container/state/names.ts";
import { type ContainerRecord, isRunning } from "../../lib/container/state/record.ts";
import { makeSampler, type Sample } from "../../lib/container/stats/stats.ts";
import { readOwnership } from "../../lib/container/state/ownership.ts";
import { sleep } from "../../lib/host/poll.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { printableJson } from "../../lib/text/printable.ts";
import { formatSize } from "../../lib/text/size.ts";
import { printControl, printOut, table } from "../output/output.ts";

/** The flags of `stats`. */
export interface StatsFlags extends FolderOptions {
  readonly all?: boolean;
  readonly noStream?: boolean;
  readonly interval?: number;
  readonly json?: boolean;
}

const INTERVAL = 1;
const HEADINGS = ["ID", "NAME", "CPU %", "MEMORY / LIMIT", "MEM %", "NETWORK I/O", "BLOCK I/O", "PIDS"];
const CLEAR = "\x1b[2J", HOME = "\x1b[H", CLEAR_LINE = "\x1b[K", CLEAR_BELOW = "\x1b[J";
const UNKNOWN = "--";

function pair(first: number | undefined, second: number | undefined): string {
  return first === undefined || second === undefined ? UNKNOWN : `${formatSize(first)} / ${formatSize(second)}`;
}

function row({ id, name = "" }: Pick<Sample, "id" | "name">, sample: Sample | undefined): string[] {
  if (!sample) return [id, name, ...HEADINGS.slice(2).map(() => UNKNOWN)];
  return [
    id,
    name,
    sample.cpuPercent === undefined ? UNKNOWN : `${sample.cpuPercent.toFixed(2)}%`,
    pair(sample.memory, sample.memoryLimit),
    `${sample.memoryPercent.toFixed(2)}%`,
    pair(sample.networkReceived, sample.networkSent),
    pair(sample.blockRead, sample.blockWritten),
    String(sample.pids),
  ];
}

/** Formats a table to overwrite the one before, cut to the terminal's size. */
function screen(text: string): string {
  const { columns, rows } = Deno.consoleSize();
  const lines = text.trimEnd().split("\n");
  const shown = lines.length < rows ? lines : [...lines.slice(0, rows - 2), `… and ${lines.length - rows + 2} more`];
  return HOME + shown.map((line) => line.slice(0, columns) + CLEAR_LINE + "\n").join("") + CLEAR_BELOW;
}

function running(containers: string, records: readonly ContainerRecord[]): Running[] {
  return records.flatMap((record) => {
    const liveness = readOwnership(containers, record.id);
    return liveness?.process && isRunning(liveness) ? [{ record, process: liveness.process }] : [];
  });
}

/** Prints resource usage: of the named containers until all have ended, else of all containers. */
export async function stats(flags: StatsFlags, ...queries: string[]): Promise<void> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  const named = queries.map((query) => findContainer(containers, query));
  if (!flags.all) named.forEach((record) => requireRunning(containers, record));
  const ids = new Set(named.map(({ id }) => id));
  const isAsked = ({ id }: ContainerRecord): boolean => ids.size === 0 || ids.has(id);

  const sample = makeSampler();
  const terminal = Deno.stdout.isTerminal() && !flags.json && !flags.noStream;
  const interval = (flags.interval ?? INTERVAL) * 1000;
  if (terminal) printControl(CLEAR);
  for (let first = true;; first = false) {
    const start = performance.now();
    const records = listContainers(containers).filter(isAsked);
    const samples = new Map(sample(running(containers, records)).map((one) => [one.id, one]));
    if (ids.size > 0 && samples.size === 0 && !flags.all) return;
    // CPU usage is measured since the first sample.
    if (terminal || !first) {
      const shown = flags.all ? records : records.filter(({ id }) => samples.has(id));
      const text = flags.json
        ? samples.values().map((one) => printableJson(one) + "\n").toArray().join("")
        : table(HEADINGS, shown.map((record) => row(record, samples.get(record.id))));
      if (terminal) printControl(screen(text));
      else printOut(text);
      if (flags.noStream) return;
    }
    await sleep(Math.max(0, start + interval - performance.now()));
  }
}
