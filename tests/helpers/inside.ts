/**
 * Short ways to run something in a container from a test, and to read what the kernel says of it there.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Container, output, run, type RunOptions } from "../../mod.ts";
import type { Result, World } from "./world.ts";

export { until } from "./until.ts";

/** A command: its words, or a script for `/bin/sh`. */
export type Script = string | readonly string[];

/** Options of the library, and the image. */
export type InsideOptions = RunOptions & {
  /** The image's name. Default: `busybox`. */
  image?: string;
};

function words(script: Script): readonly string[] {
  return typeof script === "string" ? ["/bin/sh", "-c", script] : script;
}

/** The text of bytes. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Runs a command in a new container, through the library, to its end. */
export async function inside(world: World, script: Script, options: InsideOptions = {}): Promise<Result> {
  const { image = "busybox", ...rest } = options;
  const { code, stdout, stderr } = await output(image, words(script), { ...world.folders, ...rest });
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Like {@linkcode inside}, but the command must succeed and say nothing on standard error; its standard output. */
export async function say(world: World, script: Script, options: InsideOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await inside(world, script, options);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  return stdout;
}

/** A container that answers line by line: one question in, one answer out. */
export interface Conversation extends AsyncDisposable {
  /** The container. */
  readonly container: Container;
  /** Sends a line, if any is given, and returns the next line of output; undefined at the end of it. */
  ask(line?: string): Promise<string | undefined>;
}

/** Starts a command whose standard input and output are a conversation. */
export async function converse(world: World, script: Script, options: InsideOptions = {}): Promise<Conversation> {
  const { image = "busybox", ...rest } = options;
  const streams = { stdin: "piped", stdout: "piped" } as const;
  const container = await run(image, words(script), { ...world.folders, ...streams, ...rest });
  const writer = container.stdin.getWriter();
  const nextLine = lineReader(container.stdout);
  return {
    container,
    async ask(line?: string): Promise<string | undefined> {
      if (line !== undefined) await writer.write(new TextEncoder().encode(line + "\n"));
      return await nextLine();
    },
    [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
  };
}

/** Reads a stream line by line, without the line's end; undefined when there is no more. */
export function lineReader(stream: ReadableStream<Uint8Array>): () => Promise<string | undefined> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  return async () => {
    for (;;) {
      const at = rest.indexOf("\n");
      if (at >= 0) {
        const line = rest.slice(0, at);
        rest = rest.slice(at + 1);
        return line;
      }
      const { value, done } = await reader.read();
      if (done) {
        const last = rest;
        rest = "";
        return last === "" ? undefined : last;
      }
      rest += decoder.decode(value, { stream: true });
    }
  };
}

/** A line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`). */
export interface MountLine {
  /** Where it is mounted. */
  target: string;
  /** The folder of the file system that is mounted. */
  root: string;
  /** Options of the mount, such as `ro` and `nosuid`. */
  options: string[];
  /** The file system type. */
  type: string;
  /** Options of the file system. */
  superOptions: string[];
  /** Its propagation, such as `shared:3`; empty if it is private. */
  propagation: string[];
}

/** Reads the text of a mountinfo file. */
export function parseMounts(mountinfo: string): MountLine[] {
  return mountinfo.trim().split("\n").map((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "", target = "", options = "", ...propagation] = before.split(" ");
    const [type = "", , superOptions = ""] = after.split(" ");
    return { target, root, options: options.split(","), type, superOptions: superOptions.split(","), propagation };
  });
}

/** The fields of a `/proc/PID/status` file by name. */
export function parseStatus(status: string): Map<string, string> {
  return new Map(
    status.trim().split("\n").map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at), line.slice(at + 1).trim().replaceAll("\t", " ")];
    }),
  );
}

/** Runs a program of the host that must succeed. */
export async function host(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, `${program} ${args.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}
