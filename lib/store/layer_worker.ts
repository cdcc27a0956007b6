/**
 * The thread behind `unpackLayer`: it is told a task and given the port to the bytes, and told `abort` if it is to stop.
 *
 * @module
 */

import { close } from "../../ffi/fs/fs.ts";
import { shimFd } from "../../ffi/native.ts";
import { inflatedFrom } from "../tar/inflate.ts";
import { applyLayer, type LayerTask, type UnpackedLayer } from "./apply_layer.ts";
import { packError, type SentError, serveThread } from "../tar/thread.ts";

/** Message to the thread. */
export type ToLayer = LayerTask | "abort";

/** Message from the thread; there is one. */
export type FromLayer = { done: UnpackedLayer } | { error: SentError };

// Each thread loads the shim anew, and a thread's descriptors stay open in the process when it ends.
close(shimFd);

serveThread((port) => {
  const stop = new AbortController();
  const send = (message: FromLayer): void => port.postMessage(message);
  port.onmessage = (event) => {
    const message: ToLayer = event.data, [source] = event.ports;
    if (message === "abort") stop.abort();
    else if (source) {
      applyLayer(message, inflatedFrom(source, stop.signal), stop.signal)
        .then((done) => send({ done }), (error) => send({ error: packError(error) }));
    }
  };
});
