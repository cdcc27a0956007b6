/**
 * Programs that keep credentials for docker and podman: `docker-credential-NAME`.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";

const NAME = /^[A-Za-z0-9._-]+$/;
const PATIENCE = 30_000, MAX_BYTES = 1 << 20;

/** Returns the error for credentials that are there and of no use. It never quotes a file: that may be a password. */
export function unusable(what: string, why: string): ImageError {
  return new ImageError(`cannot use the credentials of ${what}: ${why}`, {
    code: "credentials-unusable",
    facts: { what },
    hint: "log in again: sauropod login",
  });
}

/** Reads what a helper writes until it ends; one that writes too much or takes too long is killed. */
async function answerOf(child: Deno.ChildProcess): Promise<{ status: Deno.CommandStatus; text: string }> {
  const reader = child.stdout.getReader(), decoder = new TextDecoder();
  let text = "", size = 0, why: string | undefined;
  const giveUp = (reason: string): void => {
    why = reason;
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    // Processes that it started may keep the pipe open.
    reader.cancel().catch(() => {});
  };
  const timer = setTimeout(() => giveUp(`it has not answered within ${PATIENCE / 1000} s`), PATIENCE);
  try {
    for (let part = await reader.read(); !part.done && why === undefined; part = await reader.read()) {
      size += part.value.length;
      if (size > MAX_BYTES) giveUp("its answer is too long");
      else text += decoder.decode(part.value, { stream: true });
    }
    const status = await child.status;
    if (why !== undefined) throw new Error(why);
    return { status, text };
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs the helper `name` with `input`. Returns what it writes; undefined if it has no such credentials.
 *
 * @throws {ImageError} `credentials-unusable`.
 */
export async function runHelper(
  name: string,
  verb: "get" | "store" | "erase",
  input: string,
): Promise<string | undefined> {
  const program = `docker-credential-${name}`;
  if (!NAME.test(name)) throw unusable(JSON.stringify(program), "this is no name of a credential helper");
  let answer: Awaited<ReturnType<typeof answerOf>>;
  try {
    const child = new Deno.Command(program, {
      args: [verb],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    // One that does not read what it is asked may still answer.
    const asked = writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
    answer = await answerOf(child);
    await asked;
  } catch (error) {
    throw unusable(program, error instanceof Deno.errors.NotFound ? "it is not installed" : messageOf(error));
  }
  const { status, text } = answer;
  if (status.success) return text;
  if (/credentials not found/i.test(text)) return undefined;
  throw unusable(program, status.signal ? `it was ended by ${status.signal}` : `it ended with ${status.code}`);
}
