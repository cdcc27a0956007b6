/**
 * Parser of the `WWW-Authenticate` header.
 *
 * @module
 */

/** One way to prove who one is. */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** By their names in lower case: `realm`, `service`, `scope`. */
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PIECE = new RegExp(`(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))|(${TOKEN})`, "g");
const LONGEST = 8192;

/** Reads the header; what makes no sense in it is passed over. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  for (const [, name, quoted, plain, scheme] of header.slice(0, LONGEST).matchAll(PIECE)) {
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
    const value = quoted?.replace(/\\(.)/g, "$1") ?? plain;
    const last = challenges.at(-1);
    if (name !== undefined && value !== undefined && last) last.parameters[name.toLowerCase()] ??= value;
  }
  return challenges;
}
