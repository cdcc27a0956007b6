/**
 * `sauropod logs`: output of a detached container.
 *
 * @module
 */

import { copyLog, type LogLoss, type LogOptions, readLog, requireLog } from "../../lib/container/state/log.ts";
import type { LogRecord } from "../../lib/container/state/log_format.ts";
import { isHeld } from "../../lib/container/state/list.ts";
import { findContainer } from "../../lib/container/state/names.ts";
import { InputError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { printableJson } from "../../lib/text/printable.ts";
import { printBytes, printError, printOut } from "../output/output.ts";

/** The flags of `logs`. */
export interface LogsFlags extends FolderOptions {
  readonly follow?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly tail?: string;
  readonly timestamps?: boolean;
  readonly json?: boolean;
}

const LOSSES: Readonly<Record<LogLoss, string>> = {
  rotated: "lines may be missing here: the log was rotated faster than it could be read",
  damaged: "lines are missing here: the log is damaged",
};

function parseTail(text: string): number | undefined {
  if (text === "all") return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new InputError(`invalid --tail ${JSON.stringify(text)}`, {
    code: "bad-tail",
    facts: { text },
    hint: "use a number of lines, or all",
  });
}

/** Formats a record as JSON, in base64 if it is not UTF-8. */
function formatRecord({ time, stream, text, partial }: LogRecord): string {
  const record = { time, stream, partial };
  try {
    return printableJson({ ...record, text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text) });
  } catch {
    return printableJson({ ...record, base64: text.toBase64() });
  }
}

/** Prints the log of a container, each stream to its counterpart. */
export async function logs(flags: LogsFlags, query: string): Promise<void> {
  const { containers } = findFolders(flags);
  const record = findContainer(containers, query), { id } = record;
  const folder = `${containers}/${id}`;
  const follow = (): boolean => isHeld(containers, id);
  const options: LogOptions = {
    since: flags.since,
    until: flags.until,
    tail: parseTail(flags.tail ?? "all"),
    follow: flags.follow ? follow : undefined,
    onLoss: (loss) => printError(`sauropod: ${LOSSES[loss]}`),
  };
  requireLog(containers, record);
  if (!flags.json) return await copyLog(folder, { ...options, timestamps: flags.timestamps }, printBytes);
  for await (const record of readLog(folder, options)) printOut(formatRecord(record) + "\n");
}
