/**
 * Finds out which functions of packed files commands use: they are worth being kept compiled, and no others.
 *
 * @module
 */

import type { IsUsed } from "./eager.ts";

/** What is run, apart from the machine's networks and what they have below /run. The last takes away what may be left. */
const COMMANDS = [
  ["run", "--rm", "host", "true"],
  ["run", "--rm", "--network", "none", "--memory", "64m", "host", "true"],
  ["run", "--detach", "--name", "trained", "--network", "none", "host", "sleep", "100"],
  ["exec", "trained", "true"],
  ["rm", "--force", "trained"],
] as const;
const APART = [
  "--net",
  "--mount",
  "--propagation",
  "private",
  "sh",
  "-c",
  `mount -t tmpfs none /run && exec "$@"`,
  "sh",
];

/** What V8 tells of one script. */
interface Coverage {
  readonly url: string;
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
  }[];
}

function isCoverage(value: unknown): value is Coverage {
  return typeof value === "object" && value !== null && "url" in value && "functions" in value;
}

function readCoverage(path: string): Coverage {
  const value: unknown = JSON.parse(Deno.readTextFileSync(path));
  if (isCoverage(value)) return value;
  throw new Error(`${path} is no coverage`);
}

/** Runs a command apart; returns what it complained of if it failed. */
async function complaintOf(words: readonly string[]): Promise<string | undefined> {
  const unshare = new Deno.Command("unshare", { args: [...APART, ...words], stdin: "null", stdout: "null" });
  try {
    const { success, stderr } = await unshare.output();
    return success ? undefined : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return String(error);
  }
}

/**
 * Runs the packed `command` in `room`. Returns for each file, by its path, which of its functions were used; all are
 * where containers cannot be run.
 */
export async function train(command: string, room: string): Promise<(path: string) => IsUsed> {
  const folders = ["--images", `${room}/images`, "--containers", `${room}/containers`], coverage = `${room}/coverage`;
  const deno = [Deno.execPath(), "run", "-A", `--coverage=${coverage}`, command];
  const complaints: string[] = [];
  for (const [name, ...words] of COMMANDS) {
    const complaint = await complaintOf([...deno, name, ...folders, ...words]);
    if (complaint !== undefined) complaints.push(`sauropod ${name}: ${complaint}`);
  }
  if (complaints.length > 0) {
    console.error(
      `packed for all uses alike, which starts a little later: ${complaints[0]}\n  pack as root to do better`,
    );
    return () => () => true;
  }
  const used = new Map<string, Set<number>>();
  for (const { name } of Deno.readDirSync(coverage)) {
    const { url, functions } = readCoverage(`${coverage}/${name}`);
    const starts = used.get(url) ?? new Set();
    for (const { ranges: [whole] } of functions) if (whole && whole.count > 0) starts.add(whole.startOffset);
    used.set(url, starts);
  }
  return (path) => (start) => used.get(`file://${path}`)?.has(start) ?? false;
}
