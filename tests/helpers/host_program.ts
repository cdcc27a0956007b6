/**
 * Programs of the host, run to their end.
 *
 * @module
 */

import assert from "node:assert/strict";

/** Runs a program of the host; its standard output. */
export async function output(program: string, args: string[], stdin?: Uint8Array<ArrayBuffer>) {
  const child = new Deno.Command(program, {
    args,
    stdin: stdin ? "piped" : "null",
    stdout: "piped",
    stderr: "piped",
    env: { LC_ALL: "C" },
  }).spawn();
  const written = stdin && (async () => {
    const writer = child.stdin.getWriter();
    await writer.write(stdin);
    await writer.close();
  })();
  const [{ success, stdout, stderr }] = await Promise.all([child.output(), written]);
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return stdout;
}

/** Runs a program to its end and returns what it wrote; it has to succeed. */
export async function succeed(words: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const [program = "", ...args] = words;
  const { success, stdout, stderr } = await new Deno.Command(program, { args, env, stdin: "null" }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(success, `${words.join(" ")}: ${text(stdout)}${text(stderr)}`);
  return text(stdout);
}
