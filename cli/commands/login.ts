/**
 * `sauropod login` and `logout`.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";
import { logIn, logOut, registryOf } from "../../lib/registry/login.ts";
import { printError } from "../output/output.ts";

/** The flags of `login`. */
export interface LoginFlags {
  readonly username?: string;
  readonly password?: string;
  readonly passwordStdin?: boolean;
}

const SIGINT = 2, ENTER = ["\r", "\n"], ERASE = ["\x7f", "\b"], INTERRUPT = "\x03", END = "\x04";

/** Asks for a line that is not shown. */
function askUnseen(question: string): string {
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
  if (Deno.stdin.isTerminal()) return askUnseen("Password: ");
  throw new InputError("the password is not known, and there is no terminal to ask at", {
    code: "no-password",
    hint: "sauropod login -u NAME --password-stdin REGISTRY <FILE",
  });
}

function readUsername({ username, passwordStdin }: LoginFlags): string {
  const name = username ?? (passwordStdin || !Deno.stdin.isTerminal() ? null : prompt("Username:"));
  if (name) return name;
  throw new InputError("the name of the user is not known", { code: "no-username", hint: "--username NAME" });
}

/** Tries credentials and keeps them. */
export async function login(flags: LoginFlags, server?: string): Promise<void> {
  const registry = registryOf(server), username = readUsername(flags), password = await readPassword(flags);
  if (password === "") throw new InputError("the password is empty", { code: "no-password" });
  const where = await logIn(registry, { username, password });
  const open = where.includes("/") ? ", which is not encrypted" : "";
  printError(`logged in to ${registry} as ${username}; the password is kept in ${where}${open}`);
}

/** Forgets credentials. */
export async function logout(_flags: object, server?: string): Promise<void> {
  const registry = registryOf(server);
  printError(await logOut(registry) ? `logged out of ${registry}` : `not logged in to ${registry}`);
}
