/**
 * Gives parsers mutated inputs. Anything thrown but a {@linkcode SauropodError}, or an error that the parser documents,
 * is a crash, and so is more time than grows with the input's length.
 *
 * @module
 */

import { SauropodError } from "../../lib/errors.ts";
import { TESTS } from "../tools/files.ts";
import { randomFrom } from "../helpers/random.ts";
import { type Bytes, mutate } from "./mutate.ts";

/** A parser of what strangers send. */
export interface Target {
  /** Its name on the command line, and of its directory in `corpus/`. */
  readonly name: string;
  /** Inputs that are right, or nearly so. */
  readonly seeds: readonly (string | Bytes)[];
  /** Errors that it documents besides {@linkcode SauropodError}. */
  readonly throws?: readonly (new (...words: never[]) => Error)[];
  /** Parses an input, and throws if what it returns is wrong. */
  parse(bytes: Bytes): unknown;
}

/** An input that a parser did not cope with. */
export interface Crash {
  readonly input: Bytes;
  readonly error: unknown;
}

const CORPUS = `${TESTS}fuzz/corpus`;
// CPU time of the parsing thread: some twenty times what the slowest parser takes.
const BASE_MS = 50, MS_PER_BYTE = 0.005;

/** Returns the milliseconds for which this thread has been on a processor. */
function cpuTime(): number {
  return Number(Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ")[0]) / 1e6;
}

/** Runs a parser on an input; returns what it does wrong, undefined if nothing. */
export function attempt(target: Target, input: Bytes): unknown {
  const limit = BASE_MS + MS_PER_BYTE * input.length, began = performance.now(), cpu = cpuTime();
  try {
    target.parse(input.slice());
  } catch (error) {
    if (error instanceof SauropodError || target.throws?.some((type) => error instanceof type)) return undefined;
    return error;
  }
  if (performance.now() - began <= limit) return undefined;
  const spent = cpuTime() - cpu;
  return spent > limit ? new Error(`${input.length} bytes took ${spent.toFixed(0)} ms of CPU time`) : undefined;
}

function encoded(seed: string | Bytes): Bytes {
  return typeof seed === "string" ? new TextEncoder().encode(seed) : seed;
}

/** Returns the inputs that were too much for a parser once. */
export function corpusOf({ name }: Target): Bytes[] {
  try {
    const files = [...Deno.readDirSync(`${CORPUS}/${name}`)].map((file) => file.name).sort();
    return files.map((file) => Deno.readFileSync(`${CORPUS}/${name}/${file}`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Shortens an input as long as the parser fails with it in the same way. */
function shorten(target: Target, { input, error }: Crash): Crash {
  const kind = (one: unknown): string => one instanceof Error ? one.constructor.name : typeof one;
  const end = performance.now() + 5000;
  let shortest = input;
  for (let size = input.length >> 1; size > 0 && performance.now() < end; size >>= 1) {
    for (let at = 0; at < shortest.length && performance.now() < end;) {
      const shorter = new Uint8Array([...shortest.subarray(0, at), ...shortest.subarray(at + size)]);
      const again = attempt(target, shorter);
      if (again !== undefined && kind(again) === kind(error)) shortest = shorter;
      else at += size;
    }
  }
  return { input: shortest, error };
}

/** Keeps the input of a crash in the corpus; returns its path. */
export function keep({ name }: Target, { input }: Crash): string {
  const hash = input.reduce((sum, byte) => Math.imul(sum ^ byte, 0x01000193) >>> 0, 0x811c9dc5);
  const path = `${CORPUS}/${name}/${hash.toString(16).padStart(8, "0")}`;
  Deno.mkdirSync(`${CORPUS}/${name}`, { recursive: true });
  Deno.writeFileSync(path, input);
  return path;
}

/** Gives a parser the corpus, and then mutated inputs as long as `goOn` says; returns the first crash. */
export function fuzz(target: Target, seed: number, goOn: (round: number) => boolean): Crash | undefined {
  const inputs = [...target.seeds.map(encoded), ...corpusOf(target)];
  for (const input of inputs) {
    const error = attempt(target, input);
    if (error !== undefined) return { input, error };
  }
  for (let round = 0; goOn(round); round++) {
    const random = randomFrom(Math.imul(seed, 0x9e3779b1) + round);
    const pick = (): Bytes => inputs[Math.floor(random() * inputs.length)] ?? new Uint8Array();
    const input = mutate(pick(), pick(), random), error = attempt(target, input);
    if (error !== undefined) return shorten(target, { input, error });
  }
  return undefined;
}
