/**
 * Training: runs usual commands with coverage, which tells the modules they load and the functions they call.
 *
 * @module
 */

import type { IsUsed } from "./eager.ts";

/**
 * The commands, in a network namespace without the machine's bridges. The first one sets up the bridge, and the last one
 * cleans up: neither is usual.
 */
const SCRIPT = `
mount -t tmpfs none /run
sauropod() { command=$1; shift; deno run -A "$cli" "$command" --images "$room/images" --containers "$room/containers" "$@"; }
sauropod run --rm host true
export DENO_COVERAGE_DIR="$room/coverage/more"
sauropod run --rm host true
sauropod run --rm --network none --memory 64m host true
sauropod run --detach --name trained --network none host sleep 100
export DENO_COVERAGE_DIR="$room/coverage/sauropod"
sauropod run --rm --network none host true
sauropod exec trained true
unset DENO_COVERAGE_DIR
sauropod rm --force trained
`;
const APART = ["--net", "--mount", "--propagation", "private", "sh", "-ec"];

/** The parts of the packed command, each loaded after the one before. */
export const PARTS = ["sauropod", "more", "rest"] as const;
/** A part of the packed command. */
export type Part = typeof PARTS[number];

/** The coverage of one script, as V8 writes it. */
interface Coverage {
  readonly url: string;
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
  }[];
}

/** What the commands used. */
export interface Training {
  /** Returns the part that the module `path` belongs to. */
  partOf(path: string): Part;
  /** Returns which functions of the module they called. */
  isUsed(path: string): IsUsed;
}

function isCoverage(value: unknown): value is Coverage {
  return typeof value === "object" && value !== null && "url" in value && "functions" in value;
}

function readCoverage(path: string): Coverage {
  const value: unknown = JSON.parse(Deno.readTextFileSync(path));
  if (isCoverage(value)) return value;
  throw new Error(`invalid coverage ${path}`);
}

/** Runs the commands. Returns what they complained of if one failed. */
async function runCommands(cli: string, room: string): Promise<string | undefined> {
  const env = {
    cli,
    room,
    NO_COLOR: "1",
    PATH: `${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH") ?? ""}`,
  };
  const unshare = new Deno.Command("unshare", { args: [...APART, SCRIPT], env, stdin: "null", stdout: "null" });
  try {
    const { success, stderr } = await unshare.output();
    return success ? undefined : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return String(error);
  }
}

/** Runs the commands with the command line `cli`, and files in `room`. Returns undefined where containers cannot be run. */
export async function train(cli: string, room: string): Promise<Training | undefined> {
  const complaint = await runCommands(cli, room);
  if (complaint !== undefined) {
    console.error(`packed without training, which starts later: ${complaint}\n  pack as root to train`);
    return undefined;
  }
  const used = { sauropod: new Map<string, Set<number>>(), more: new Map<string, Set<number>>() };
  for (const part of ["more", "sauropod"] as const) {
    for (const { name } of Deno.readDirSync(`${room}/coverage/${part}`)) {
      const { url, functions } = readCoverage(`${room}/coverage/${part}/${name}`), path = new URL(url).pathname;
      const starts = used[part].get(path) ?? new Set();
      for (const { ranges: [whole] } of functions) if (whole && whole.count > 0) starts.add(whole.startOffset);
      used[part].set(path, starts);
    }
  }
  const { sauropod, more } = used;
  return {
    partOf: (path) => sauropod.has(path) ? "sauropod" : more.has(path) ? "more" : "rest",
    isUsed: (path) => (start) => [sauropod, more].some((part) => part.get(path)?.has(start) ?? false),
  };
}
