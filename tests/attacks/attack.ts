/**
 * What an attack is: plain data, with one line of what is tried and when it has succeeded.
 *
 * @module
 */

import type { Ability, Engine } from "./engines.ts";
import type { Arsenal, Evidence, Order, Scene } from "./scene.ts";

/** An attack. */
export interface Attack {
  /** The number of the vulnerability it tries. */
  readonly id: string;
  /** What had it. */
  readonly engine: string;
  /** What is tried, in one line. */
  readonly title: string;
  /** What an engine must have to be attacked so. */
  readonly needs?: readonly (Ability | "exec" | "copy" | "top" | "build")[];
  /** Uses what there is one of: engines are attacked one after the other. */
  readonly alone?: boolean;
  /** Why the control cannot fall where the suite runs now; nothing if it must. */
  uncontrolled?(): string | undefined;
  /** Makes the scene hostile. */
  prepare?(scene: Scene, arsenal: Arsenal): Promise<unknown>;
  /** The container; several are tried one after the other. */
  readonly order?: (scene: Scene, engine: Engine) => Order | readonly Order[];
  /** What is done instead of running the orders. */
  readonly attempt?: (scene: Scene, engine: Engine) => Promise<Evidence>;
  /** Whether the attack has succeeded. */
  succeeded(scene: Scene, evidence: Evidence): boolean | Promise<boolean>;
}

/** Commands for the container's shell. It says `tried` when it has come so far. */
export function sh(script: string): string[] {
  return ["/bin/busybox", "sh", "-c", `${script}\necho tried`];
}

/** Whether the container saw the secret of the host. */
export function sawSecret({ secret }: Scene, { output }: Evidence): boolean {
  return output.includes(secret);
}
