/**
 * Programs that keep credentials for docker and podman: `docker-credential-NAME`.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";

const NAME = /^[A-Za-z0-9._-]+$/;
const PATIENCE = 30_000;

/** The error for credentials that are there and of no use. It never quotes a file: that may be a password. */
export function unusable(what: string, why: string): ImageError {
  return new ImageError(`the credentials of ${what} cannot be used: ${why}`, {
    code: "credentials-unusable",
    facts: { what },
    hint: "log in again: sauropod login",
  });
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
  let result: Deno.CommandOutput;
  try {
    const child = new Deno.Command(program, {
      args: [verb],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.timeout(PATIENCE),
    }).spawn();
    const writer = child.stdin.getWriter();
    // One that does not read what it is asked may still answer.
    const asked = writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
    [result] = await Promise.all([child.output(), asked]);
  } catch (error) {
    throw unusable(program, error instanceof Deno.errors.NotFound ? "it is not installed" : messageOf(error));
  }
  const text = new TextDecoder().decode(result.stdout);
  if (result.success) return text;
  if (/credentials not found/i.test(text)) return undefined;
  throw unusable(program, result.signal ? `it was ended by ${result.signal}` : `it ended with ${result.code}`);
}
