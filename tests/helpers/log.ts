/**
 * Logs as the monitor of a detached container writes them, for tests.
 *
 * @module
 */

import { claimName } from "../../lib/container/state/names.ts";
import { type ContainerRecord, writeRecord } from "../../lib/container/state/record.ts";

/** Writes a log, and rotates it. */
export interface LogWriter {
  /** Appends a record; `full` if the text ended with a newline. */
  write(stream: "stdout" | "stderr", full: boolean, text: string | Uint8Array<ArrayBuffer>, time?: string): void;
  /** Appends bytes as they are. */
  raw(bytes: string | Uint8Array<ArrayBuffer>): void;
  /** Renames the files and begins a new one; the oldest goes when there are more than `keep` old ones. */
  rotate(): void;
  /** Closes the log. */
  close(): void;
}

const encoder = new TextEncoder();

function bytesOf(text: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return typeof text === "string" ? encoder.encode(text) : text;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The present time as a log has it. */
export function now(): string {
  return new Date().toISOString().replace("Z", "123456Z");
}

/** Begins the log of the container in `folder`, or goes on with it. */
export function writeLog(folder: string, keep = Infinity): LogWriter {
  const path = `${folder}/log`;
  const open = (): Deno.FsFile => Deno.openSync(path, { append: true, create: true });
  let file = open();
  const raw = (bytes: string | Uint8Array<ArrayBuffer>): void => {
    for (let rest = bytesOf(bytes); rest.length > 0;) rest = rest.subarray(file.writeSync(rest));
  };
  return {
    raw,
    write(stream, full, text, time = now()): void {
      const head = bytesOf(`${time} ${stream} ${full ? "F" : "P"} `), body = bytesOf(text);
      const line = new Uint8Array(head.length + body.length + 1);
      line.set(head);
      line.set(body, head.length);
      line[line.length - 1] = 10;
      raw(line);
    },
    rotate(): void {
      let last = 0;
      while (exists(`${path}.${last + 1}`)) last++;
      if (last >= keep) Deno.removeSync(`${path}.${last--}`);
      for (; last > 0; last--) Deno.renameSync(`${path}.${last}`, `${path}.${last + 1}`);
      Deno.renameSync(path, `${path}.1`);
      file.close();
      file = open();
    },
    close: () => file.close(),
  };
}

/** Makes the folder of a container that has ended, without a log. Returns the folder. */
export function makeContainer(containers: string, id: string, more: Partial<ContainerRecord> = {}): string {
  const folder = `${containers}/${id}`;
  Deno.mkdirSync(folder, { recursive: true });
  const record: ContainerRecord = {
    version: 1,
    id,
    image: "busybox",
    lower: [],
    command: ["sh"],
    options: {},
    created: new Date().toISOString(),
    keep: true,
    cgroups: [],
    ended: { at: new Date().toISOString(), code: 0 },
    ...more,
  };
  writeRecord(folder, record);
  if (record.name !== undefined) claimName(containers, record.name, id, () => {});
  return folder;
}
