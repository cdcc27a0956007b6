/**
 * File descriptors as disposables, closed at the end of their scope.
 *
 * @module
 */

import { close } from "./fs.ts";

/** An open file descriptor: `using file = new Fd(openAt(…))` closes it at the end of the scope. */
export class Fd implements Disposable {
  /** Takes ownership of the descriptor `number`. */
  constructor(readonly number: number) {}

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    close(this.number);
  }
}
