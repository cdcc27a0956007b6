/**
 * Sanitiser of untrusted text: removes escape sequences and other control characters that a terminal would obey.
 *
 * @module
 */

// Control characters (C0, DEL, C1), the bytes of names that are no UTF-8, line separators, and format characters such
// as
// those that turn the direction of text round; the joiners that scripts and emoji need stay.
const UNPRINTABLE = /[[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Cf}]--[\u200c\u200d]]/gv;

function escape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  const byte = code >= 0xdc80 && code <= 0xdcff ? code - 0xdc00 : code;
  return byte < 0x100 ? `\\x${byte.toString(16).padStart(2, "0")}` : `\\u{${byte.toString(16)}}`;
}

/**
 * Returns `text` with all characters escaped that a terminal obeys or that hide or reorder others (`\x1b`, `\u{202e}`),
 * on one line.
 *
 * @param kept Characters that stay, such as `\n` where the text may have several lines. Default: none.
 */
export function printable(text: string, kept = ""): string {
  return text.replace(UNPRINTABLE, (character) => kept.includes(character) ? character : escape(character));
}

/** Returns `value` as JSON that means the same and holds no character that a terminal obeys. */
export function printableJson(value: unknown, indent?: number): string {
  const unit = (code: string): string => `\\u${code.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const text = JSON.stringify(value, null, indent);
  return text.replace(
    UNPRINTABLE,
    (character) => character === "\n" ? character : character.split("").map(unit).join(""),
  );
}
