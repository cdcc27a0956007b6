/**
 * The thread behind `inflatedFrom`: it is told a file's path, and given the port to who wants what is in it.
 *
 * @module
 */

import { fileChunks } from "./chunks.ts";
import { decompress } from "./decompress.ts";
import type { FromInflate, ToInflate } from "./inflate.ts";
import { packError, serveThread } from "./thread.ts";

async function inflateTo(port: MessagePort, path: string): Promise<void> {
  const empty: ToInflate[] = [];
  let wake = (): void => {};
  port.onmessage = (event) => {
    empty.push(event.data);
    wake();
  };

  async function nextBuffer(): Promise<Uint8Array<ArrayBuffer>> {
    for (;;) {
      const buffer = empty.shift();
      if (buffer) return new Uint8Array(buffer);
      await new Promise<void>((resolve) => wake = resolve);
    }
  }

  let target = await nextBuffer(), filled = 0;
  const send = (message: FromInflate, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  const flush = (): void => send({ buffer: target.buffer, length: filled }, [target.buffer]);
  try {
    for await (const chunk of decompress(fileChunks(path))) {
      for (let at = 0; at < chunk.length;) {
        if (filled === target.length) {
          flush();
          [target, filled] = [await nextBuffer(), 0];
        }
        const part = chunk.subarray(at, at + target.length - filled);
        target.set(part, filled);
        at += part.length;
        filled += part.length;
      }
    }
    flush();
    send("end");
  } catch (error) {
    send({ error: packError(error) });
  }
}

serveThread((port) => {
  port.onmessage = (event) => {
    const path: string = event.data, [to] = event.ports;
    if (to) inflateTo(to, path);
  };
});
