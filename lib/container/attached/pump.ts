/**
 * The terminal pump: a small process of the shim's own that moves bytes between the user's terminal and the
 * container's, so that the user's is set right again even if we are killed.
 *
 * @module
 */

import * as call from "../../../ffi/program/calls.ts";
import { describeErrno } from "../../../ffi/errno.ts";
import { execute, shimFd } from "../../../ffi/program/execute.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { close } from "../../../ffi/fs/fs.ts";
import { pipe, reap } from "../../../ffi/process/process.ts";
import { callerStep, type Program, step } from "../../../ffi/program/model.ts";
import { SpawnError } from "../../errors.ts";
import { handle, readable } from "./pipes.ts";

/** Starts the pump; its `lifeline` is the read end of a pipe that we hold open while we live. */
function startPump(terminal: number, input: number, output: number, lifeline: number): Program {
  const argv = ["sauropod-pump", ...[input, output, terminal, lifeline].map(String)];
  return [
    callerStep("start the terminal pump", call.clone3(flags("CLONE", "PIDFD"), "pump")),
    step("reset all signals", call.defaultSignals),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("except the container's terminal", call.stayOpen(terminal)),
    step("and the lifeline", call.stayOpen(lifeline)),
    step("execute the pump", call.execveFd(shimFd, argv, [])),
  ];
}

/**
 * Starts the pump between `input` and `output`, of the user, and `terminal`, our side of the container's. Resolves when
 * it has ended.
 *
 * @throws {SpawnError} if it cannot be started.
 */
export function pump(terminal: number, input: number, output: number): Promise<void> {
  const [lifeline, held] = pipe();
  const outcome = execute(startPump(terminal, input, output, lifeline), ["pump"]);
  close(lifeline);
  if (!outcome.ok) {
    close(held);
    throw new SpawnError(`${outcome.step.label}: ${describeErrno(outcome.errno)}`, {
      code: "step-failed",
      exitCode: 125,
    });
  }
  return reap(outcome.registers.get("pump") ?? -1).then(() => close(held));
}

/** What is typed at a terminal. */
export interface Typed {
  /** The bytes, as they come. */
  readonly bytes: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Ends it; resolves when the terminal is as before. */
  close(): Promise<void>;
}

/**
 * Reads what is typed at the terminal `input`, in raw mode until it is closed, or this process has died.
 *
 * @throws {SpawnError} if the pump cannot be started.
 */
export function pumpTyped(input: number, output: number): Typed {
  const [reading, writing] = pipe();
  const ours = handle(reading);
  try {
    const ended = pump(writing, input, output);
    return {
      bytes: readable(ours),
      close(): Promise<void> {
        ours.close();
        return ended;
      },
    };
  } catch (error) {
    ours.close();
    throw error;
  } finally {
    close(writing);
  }
}
