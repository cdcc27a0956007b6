/**
 * Progress of layers: bars on a terminal, plain lines elsewhere.
 *
 * @module
 */

import type { LayerProgress } from "../../lib/store/ensure_layers.ts";
import { formatSize } from "../../lib/text/size.ts";
import { printError } from "./output.ts";

/** Progress on standard error. */
export interface ProgressView {
  /** Records the progress of a layer. */
  update(progress: LayerProgress): void;
  /** Draws the final state. */
  finish(): void;
}

const WIDTH = 24, REDRAW_MS = 100;

function short(digest: string): string {
  return digest.slice("sha256:".length, "sha256:".length + 12);
}

function bar({ done, total }: LayerProgress): string {
  const filled = total > 0 ? Math.round(WIDTH * Math.min(1, done / total)) : WIDTH;
  return "=".repeat(filled).padEnd(WIDTH);
}

function line(progress: LayerProgress): string {
  const { digest, phase, done, total } = progress;
  const amount = phase === "downloading" || phase === "uploading"
    ? `${formatSize(done)} of ${formatSize(total)}`
    : formatSize(total);
  return `${short(digest)}  ${phase.padEnd(11)}  [${bar(progress)}]  ${amount}`;
}

function onTerminal(): ProgressView {
  const layers = new Map<string, LayerProgress>();
  let drawn = 0, last = 0;
  const draw = (): void => {
    const up = drawn > 0 ? `\x1b[${drawn}A` : "";
    const text = [...layers.values()].map((progress) => `\x1b[2K${line(progress)}\n`).join("");
    Deno.stderr.writeSync(new TextEncoder().encode(up + text));
    drawn = layers.size;
    last = performance.now();
  };
  return {
    update(progress) {
      const isNew = layers.get(progress.digest)?.phase !== progress.phase;
      layers.set(progress.digest, progress);
      if (isNew || performance.now() - last > REDRAW_MS) draw();
    },
    finish: draw,
  };
}

function inLines(): ProgressView {
  const phases = new Map<string, string>();
  return {
    update({ digest, phase, total }) {
      if (phases.get(digest) === phase) return;
      phases.set(digest, phase);
      if (phase !== "waiting") printError(`${short(digest)} ${phase} ${formatSize(total)}`);
    },
    finish: () => {},
  };
}

/** Returns bars on a terminal, lines elsewhere. */
export function progressView(): ProgressView {
  return Deno.stderr.isTerminal() ? onTerminal() : inLines();
}
