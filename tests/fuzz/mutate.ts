/**
 * Mutations of inputs, the same for the same random numbers.
 *
 * @module
 */

/** Bytes that a parser is given. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Above this no input grows. */
const MOST_BYTES = 1 << 16;
const WORDS = ["\0", "\n", "\r\n", "\\", '"', "'", "..", "/", "//", "/../", "=", ":", ",", "%00", "\ufeff", "\u202e"]
  .concat(
    [
      "-1",
      "0",
      "4294967295",
      "9007199254740993",
      "1e999",
      "NaN",
      "null",
      "{}",
      "[]",
      "[[[[",
      "__proto__",
      "constructor",
    ],
  );
const ODD = [0, 1, 9, 10, 32, 34, 39, 58, 64, 92, 127, 128, 192, 255];
const encoder = new TextEncoder();

function join(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(Math.min(MOST_BYTES, parts.reduce((sum, { length }) => sum + length, 0)));
  let at = 0;
  for (const part of parts) {
    const taken = part.subarray(0, whole.length - at);
    whole.set(taken, at);
    at += taken.length;
  }
  return whole;
}

/** One change of an input; `other` is another one of the same kind. */
type Mutation = (bytes: Bytes, other: Bytes, below: (limit: number) => number) => Bytes;

const flip: Mutation = (bytes, _, below) => {
  const copy = bytes.slice(), at = below(copy.length);
  if (copy.length > 0) copy[at] = (copy[at] ?? 0) ^ (1 << below(8));
  return copy;
};

const put: Mutation = (bytes, _, below) => {
  const copy = bytes.slice();
  if (copy.length > 0) copy[below(copy.length)] = ODD[below(ODD.length)] ?? 0;
  return copy;
};

const cut: Mutation = (bytes, _, below) => {
  const from = below(bytes.length + 1), to = Math.min(bytes.length, from + 1 + below(1 << below(10)));
  return join(bytes.subarray(0, from), bytes.subarray(to));
};

const truncate: Mutation = (bytes, _, below) => bytes.slice(0, below(bytes.length + 1));

const insert: Mutation = (bytes, _, below) => {
  const at = below(bytes.length + 1);
  return join(bytes.subarray(0, at), encoder.encode(WORDS[below(WORDS.length)]), bytes.subarray(at));
};

/** Says a piece many times, which shows time that grows with the square of the length. */
const repeat: Mutation = (bytes, _, below) => {
  const from = below(bytes.length + 1), to = Math.min(bytes.length, from + 1 + below(1 << below(8)));
  const times = 1 << below(13), piece = bytes.subarray(from, to);
  return join(bytes.subarray(0, to), ...Array<Uint8Array>(times).fill(piece), bytes.subarray(to));
};

const splice: Mutation = (bytes, other, below) =>
  join(bytes.subarray(0, below(bytes.length + 1)), other.subarray(below(other.length + 1)));

const number: Mutation = (bytes, _, below) => {
  const text = new TextDecoder("latin1").decode(bytes), numbers = [...text.matchAll(/\d+/g)];
  const found = numbers[below(numbers.length)];
  if (!found) return bytes;
  const values = ["0", "1", "65536", "2147483648", "18446744073709551616", `${found[0]}9`, `-${found[0]}`];
  const to = found.index + found[0].length;
  return join(bytes.subarray(0, found.index), encoder.encode(values[below(values.length)]), bytes.subarray(to));
};

const MUTATIONS: readonly Mutation[] = [flip, put, cut, truncate, insert, repeat, splice, number];

/** Makes an input of two others by one to six changes. */
export function mutate(bytes: Bytes, other: Bytes, random: () => number): Bytes {
  const below = (limit: number): number => Math.floor(random() * limit);
  let changed = bytes;
  for (let left = 1 + below(6); left > 0; left--) {
    changed = (MUTATIONS[below(MUTATIONS.length)] ?? flip)(changed, other, below);
  }
  return changed;
}
