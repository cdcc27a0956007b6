/**
 * Digests and sizes of bytes that go by.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { ByteSource } from "./chunks.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A digest that is made while bytes go by. */
export interface Measured {
  /** Takes the next bytes. */
  add(bytes: Bytes): void;
  /** Returns the digest and size. To be called once. */
  result(): { digest: string; size: number };
}

/** Starts measuring. */
export function measure(): Measured {
  const hash = createHash("sha256");
  let size = 0;
  return {
    add(bytes) {
      hash.update(bytes);
      size += bytes.length;
    },
    result: () => ({ digest: `sha256:${hash.digest("hex")}`, size }),
  };
}

/** Returns the digest and size of all that comes. */
export async function measureAll(source: ByteSource): Promise<{ digest: string; size: number }> {
  const measured = measure();
  for await (const chunk of source) measured.add(chunk);
  return measured.result();
}

/** Hands bytes on while they are measured. */
export async function* measuring(
  source: ByteSource,
  measured: Measured,
  signal?: AbortSignal,
): AsyncGenerator<Bytes> {
  for await (const chunk of source) {
    signal?.throwIfAborted();
    measured.add(chunk);
    yield chunk;
  }
}
