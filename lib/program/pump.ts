/**
 * The program that starts the terminal pump, a small process of its own, so that the user's terminal is set right
 * again even if the caller is killed.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { flags } from "../../ffi/flags.ts";
import { callerStep, type Program, step } from "../../ffi/program.ts";
import { REGISTERS } from "./wiring.ts";

/** Descriptors of the caller that the pump works on. */
export interface PumpWiring {
  /** The user's terminal, or another source of input. */
  readonly input: number;
  /** Where output goes. */
  readonly output: number;
  /** The caller's side of the container's terminal. */
  readonly terminal: number;
  /** The read end of a pipe that the caller holds open while it lives. */
  readonly lifeline: number;
  /** The shim's memfd. */
  readonly shim: number;
}

/** Starts the pump. */
export function startPump({ input, output, terminal, lifeline, shim }: PumpWiring): Program {
  const argv = ["sauropod-pump", ...[input, output, terminal, lifeline].map(String)];
  return [
    callerStep("start the terminal pump", call.clone3(flags("CLONE", "PIDFD"), REGISTERS.pidfd), {
      save: REGISTERS.pid,
    }),
    step("reset all signals", call.defaultSignals),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("except the container's terminal", call.stayOpen(terminal)),
    step("and the lifeline", call.stayOpen(lifeline)),
    step("execute the pump", call.execveFd(shim, argv, [])),
  ];
}
