/** @module */
import type { Engine } from "./engines.ts";
export function peers(): Promise<Engine[]> {
  return Promise.resolve([]);
}
