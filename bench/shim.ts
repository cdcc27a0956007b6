/**
 * Cost of executing a command by the sealed shim, never from Deno's own address space.
 *
 * @module
 */

import * as call from "../ffi/program/calls.ts";
import { execute, programFile, shimFd } from "../ffi/program/execute.ts";
import { flags } from "../ffi/program/flags.ts";
import { close } from "../ffi/fs/fs.ts";
import { pipe, reapNow } from "../ffi/process/process.ts";
import { callerStep, type Program, step } from "../ffi/program/model.ts";
import { readReport } from "../lib/container/attached/report.ts";
import { execShim } from "../lib/program/process.ts";
import { type Contender, timed } from "./measure.ts";

const CLONE = callerStep("start a process", call.clone3(flags("CLONE", "PIDFD"), "pidfd"));
const END: Program = [step("end", call.exit)];
const STREAMS = [{ fd: 0, owned: false }, { fd: 1, owned: false }, { fd: 2, owned: false }] as const;

function start(program: Program): number {
  const outcome = execute([CLONE, ...program], ["pidfd"]);
  if (!outcome.ok) throw new Error(`${outcome.step.label} failed`);
  return outcome.registers.get("pidfd") ?? -1;
}

function throughShim(): void {
  const { fd: lastProgram, registers } = programFile(END);
  const [reading, report] = pipe();
  const wiring = { streams: STREAMS, shim: shimFd, hostNetwork: -1, lastProgram, report };
  const pidfd = start(execShim("join", wiring));
  close(report);
  readReport(reading, { program: END, registers });
  reapNow(pidfd);
  [lastProgram, reading].forEach(close);
}

/** A process that ends at once: by way of the shim, as every command goes, and right away. */
export const SHIM: readonly Contender[] = [
  { name: "a process that ends, through the shim", once: () => timed(() => Promise.resolve(throughShim())) },
  { name: "a process that ends, right away", once: () => timed(() => Promise.resolve(reapNow(start(END)))) },
];
