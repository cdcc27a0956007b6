/**
 * Names of files as text. The kernel's are bytes, and most are UTF-8. In a component that is not, each byte above 127
 * becomes a lone surrogate, U+DC80 to U+DCFF: so every name has a text, and the way back gives the same bytes.
 *
 * @module
 */

import { cString } from "../native.ts";

const SLASH = 47, ESCAPE = 0xdc00, SHORT = 128;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function decodeComponent(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.fromCharCode(byte > 127 ? ESCAPE + byte : byte)).join("");
  }
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] ?? 0) > 127) return false;
  return true;
}

/** The text of a name or a path. */
export function decodeName(bytes: Uint8Array<ArrayBuffer>): string {
  // Almost all are short and ASCII, and calling the decoder costs more.
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

/** The bytes of a name or a path. */
export function encodeName(text: string): Uint8Array<ArrayBuffer> {
  if (text.isWellFormed()) return encoder.encode(text);
  // A lone surrogate is a byte; what is between them is text.
  const parts = text.split(/([\udc80-\udcff])/u);
  const bytes = parts.flatMap((part, i) => i % 2 ? [part.charCodeAt(0) - ESCAPE] : [...encoder.encode(part)]);
  return new Uint8Array(bytes);
}

/** A name or a path as the NUL-terminated bytes that C wants. Throws `TypeError` if it holds a NUL itself. */
export function cPath(text: string): Uint8Array<ArrayBuffer> {
  if (text.isWellFormed()) return cString(text);
  if (text.includes("\0")) return cString(text);
  const bytes = encodeName(text), whole = new Uint8Array(bytes.length + 1);
  whole.set(bytes);
  return whole;
}
