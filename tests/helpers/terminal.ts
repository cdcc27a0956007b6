/** A command on a pseudo-terminal of its own, as a user at a keyboard has it. */

import assert from "node:assert/strict";
import { PROJECT } from "./project.ts";

/** How to start a command on a terminal. */
export interface TerminalOptions {
  /** The environment to add. */
  env?: Record<string, string>;
  /** The working directory. */
  cwd?: string;
  /** Its size. Default: 100 by 30. */
  size?: [columns: number, rows: number];
  /** A file to be standard input instead of the terminal. */
  stdin?: string;
  /** A file to be standard output instead of the terminal. */
  stdout?: string;
}

interface Report {
  output?: string;
  exit?: number;
  modes?: string;
  pending?: string;
  pid?: number;
}

const PATIENCE_MS = 20_000;

/** Whether there is what terminals are made with. */
export function hasPython(): boolean {
  try {
    return new Deno.Command("python3", { args: ["-c", "import termios"], stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** A command that runs on a terminal. */
export class Terminal implements AsyncDisposable {
  private readonly child: Deno.ChildProcess;
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  private readonly reading: Promise<void>;
  private readonly reports: Report[] = [];
  private changed = Promise.withResolvers<void>();
  private seen = 0;
  /** All that the terminal has shown. */
  screen = "";

  /** Starts a command. */
  constructor(command: readonly string[], options: TerminalOptions = {}) {
    const { size = [100, 30], stdin = "-", stdout = "-", env, cwd } = options;
    this.child = new Deno.Command("python3", {
      args: [`${PROJECT}/tests/helpers/terminal.py`, ...size.map(String), stdin, stdout, ...command],
      env: { NO_COLOR: "1", ...env },
      cwd,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.writer = this.child.stdin.getWriter();
    this.reading = this.read();
  }

  private async read(): Promise<void> {
    let rest = "";
    for await (const text of this.child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const report: Report = JSON.parse(line);
        this.screen += report.output ?? "";
        this.reports.push(report);
      }
      this.changed.resolve();
      this.changed = Promise.withResolvers();
    }
  }

  private async until<T>(what: string, find: () => T | undefined): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`the terminal did not show ${what} but ${JSON.stringify(this.screen)}`)),
      PATIENCE_MS,
    );
    try {
      for (;;) {
        const { promise } = this.changed;
        const found = find();
        if (found !== undefined) return found;
        await Promise.race([promise, late.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private async request(what: Record<string, unknown>): Promise<void> {
    await this.writer.write(new TextEncoder().encode(JSON.stringify(what) + "\n"));
  }

  private async ask<K extends keyof Report>(key: K): Promise<NonNullable<Report[K]>> {
    const from = this.reports.length;
    await this.request({ [key]: 0 });
    return await this.until(key, () => this.reports.slice(from).find((report) => key in report)?.[key] ?? undefined);
  }

  /** Waits until the terminal shows a match of `pattern` behind what was waited for before. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    const match = await this.until(String(pattern), () => pattern.exec(this.screen.slice(this.seen)) ?? undefined);
    this.seen += match.index + match[0].length;
    return match;
  }

  /** Types a text. */
  async types(text: string): Promise<void> {
    await this.request({ send: text });
  }

  /** Makes the terminal larger or smaller. */
  async resize(columns: number, rows: number): Promise<void> {
    await this.request({ resize: [columns, rows] });
  }

  /** Sends a signal to the command. */
  async kill(signal: number): Promise<void> {
    await this.request({ kill: signal });
  }

  /** The terminal's modes, as `tcgetattr` tells them. */
  modes(): Promise<string> {
    return this.ask("modes");
  }

  /** What the next program at the terminal would read although nobody typed it. */
  pending(): Promise<string> {
    return this.ask("pending");
  }

  /** Waits until the modes are, or are no longer, `modes`. */
  async untilModes(modes: string, same: boolean): Promise<void> {
    for (const end = Date.now() + PATIENCE_MS;;) {
      const now = await this.modes();
      if ((now === modes) === same) return;
      assert(Date.now() < end, `the terminal's modes are ${now}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Waits for the command's end; its exit code, or the negative number of the signal that killed it. */
  ended(): Promise<number> {
    return this.until("an end", () => this.reports.find(({ exit }) => exit !== undefined)?.exit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pid = this.reports.find(({ pid }) => pid !== undefined)?.pid;
    const alive = !this.reports.some(({ exit }) => exit !== undefined);
    if (pid !== undefined && alive) await this.kill(9);
    await this.writer.close().catch(() => {});
    await this.child.status;
    await this.reading;
  }
}
