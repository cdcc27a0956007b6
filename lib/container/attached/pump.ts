/**
 * Terminal pump: a process of the shim that copies between the user's terminal and the container's, and restores the
 * user's terminal even if this process is killed.
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

/** Returns the program that starts the pump; `lifeline` is the read end of a pipe that closes when this process exits. */
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
 * Starts the pump between `input` and `output` of the user and `terminal`, the master end of the container's. Resolves
 * when it has exited.
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

/** Input of a terminal in raw mode. */
export interface Typed {
  /** The bytes as they are typed. */
  readonly bytes: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Stops reading; resolves when the terminal is restored. */
  close(): Promise<void>;
}

/**
 * Reads the terminal `input` in raw mode, until it is closed or this process dies.
 *
 * @throws {SpawnError} if the pump cannot be started.
 */
export function pumpTyped(input: number, output: number): Typed {
  const [reading, writing] = pipe();
  const source = handle(reading);
  try {
    const ended = pump(writing, input, output);
    return {
      bytes: readable(source),
      close(): Promise<void> {
        source.close();
        return ended;
      },
    };
  } catch (error) {
    source.close();
    throw error;
  } finally {
    close(writing);
  }
}
