/**
 * File names as text. Names are bytes, mostly UTF-8. In a component that is not UTF-8, each byte above 127 becomes a lone
 * surrogate, U+DC80 to U+DCFF (Python's surrogateescape): every name has a text, from which the same bytes result.
 *
 * @module
 */

import { cString } from "../native.ts";

const SLASH = 47, SURROGATE = 0xdc00, SHORT = 128;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function decodeComponent(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.fromCharCode(byte > 127 ? SURROGATE + byte : byte)).join("");
  }
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] ?? 0) > 127) return false;
  return true;
}

/** Decodes a name or a path. */
export function decodeName(bytes: Uint8Array<ArrayBuffer>): string {
  // Faster than the decoder, and almost all names are short and ASCII.
  if (bytes.length <= SHORT && isAscii(bytes)) return String.fromCharCode(...bytes);
  try {
    return decoder.decode(bytes);
  } catch {
    const components = [];
    for (let at = 0; at <= bytes.length;) {
      const slash = bytes.indexOf(SLASH, at), end = slash < 0 ? bytes.length : slash;
      components.push(decodeComponent(bytes.subarray(at, end)));
      at = end + 1;
    }
    return components.join("/");
  }
}

/** Encodes a name or a path. */
export function encodeName(text: string): Uint8Array<ArrayBuffer> {
  if (text.isWellFormed()) return encoder.encode(text);
  // Odd parts are lone surrogates, each of which is one byte.
  const parts = text.split(/([\udc80-\udcff])/u);
  const bytes = parts.flatMap((part, i) => i % 2 ? [part.charCodeAt(0) - SURROGATE] : [...encoder.encode(part)]);
  return new Uint8Array(bytes);
}

/** Encodes a name or a path, NUL-terminated. Throws `TypeError` if it contains a NUL. */
export function cPath(text: string): Uint8Array<ArrayBuffer> {
  return text.isWellFormed() || text.includes("\0") ? cString(text) : encodeName(text + "\0");
}
