/**
 * Open file descriptors that are closed at the end of their scope.
 *
 * @module
 */

import { close } from "./fs.ts";

/** An open file descriptor: `using file = new Fd(openAt(…))` closes it when the scope is left. */
export class Fd implements Disposable {
  /** Takes over the descriptor `number`. */
  constructor(readonly number: number) {}

  /** Closes it. */
  [Symbol.dispose](): void {
    close(this.number);
  }
}
