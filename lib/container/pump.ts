/**
 * The terminal pump: a small process of the shim's own that moves bytes between the user's terminal and the
 * container's, so that the user's is set right again even if we are killed.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { describeErrno } from "../../ffi/errno.ts";
import { execute, shimFd } from "../../ffi/execute.ts";
import { flags } from "../../ffi/flags.ts";
import { close } from "../../ffi/fs.ts";
import { pipe, reap } from "../../ffi/process.ts";
import { callerStep, type Program, step } from "../../ffi/program.ts";
import { SpawnError } from "../errors.ts";

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
