/**
 * `sauropod login` and `logout`.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";
import { logIn, logOut, registryOf } from "../../lib/registry/login.ts";
import { printError } from "../output/output.ts";
import { SIGINT } from "../../ffi/process/process.ts";

/** The flags of `login`. */
export interface LoginFlags {
  readonly username?: string;
  readonly password?: string;
  readonly passwordStdin?: boolean;
}

const ENTER = ["\r", "\n"], ERASE = ["\x7f", "\b"], INTERRUPT = "\x03", END = "\x04";

/** Asks for a line without echo. */
function promptHidden(question: string): string {
  const put = (text: string): number => Deno.stderr.writeSync(new TextEncoder().encode(text));
  const decoder = new TextDecoder(), buffer = new Uint8Array(256);
  let answer: string[] = [], interrupted = false;
  Deno.stdin.setRaw(true);
  put(question);
  try {
    while (!interrupted) {
      const n = Deno.stdin.readSync(buffer) ?? 0;
      for (const key of decoder.decode(buffer.subarray(0, n), { stream: true })) {
        interrupted ||= key === INTERRUPT;
        if (ENTER.includes(key) || key === END) return answer.join("");
        answer = ERASE.includes(key) ? answer.slice(0, -1) : [...answer, key];
      }
      if (n === 0) return answer.join("");
    }
  } finally {
    Deno.stdin.setRaw(false);
    put("\n");
  }
  Deno.exit(128 + SIGINT);
}

async function readPassword({ password, passwordStdin }: LoginFlags): Promise<string> {
  if (password !== undefined) return password;
  if (passwordStdin) return (await new Response(Deno.stdin.readable).text()).replace(/\r?\n$/, "");
  if (Deno.stdin.isTerminal()) return promptHidden("Password: ");
  throw new InputError("password required", {
    code: "no-password",
    hint: "use --password-stdin: sauropod login -u NAME --password-stdin REGISTRY <FILE",
  });
}

function readUsername({ username, passwordStdin }: LoginFlags): string {
  const name = username ?? (passwordStdin || !Deno.stdin.isTerminal() ? null : prompt("Username:"));
  if (name) return name;
  throw new InputError("username required", { code: "no-username", hint: "use --username NAME" });
}

/** Tries credentials and stores them. */
export async function login(flags: LoginFlags, server?: string): Promise<void> {
  const registry = registryOf(server), username = readUsername(flags), password = await readPassword(flags);
  if (password === "") throw new InputError("the password is empty", { code: "no-password" });
  const where = await logIn(registry, { username, password });
  const plain = where.includes("/") ? " unencrypted" : "";
  printError(`logged in to ${registry} as ${username}; password stored${plain} in ${where}`);
}

/** Removes credentials. */
export async function logout(_flags: object, server?: string): Promise<void> {
  const registry = registryOf(server);
  printError(await logOut(registry) ? `logged out of ${registry}` : `not logged in to ${registry}`);
}
