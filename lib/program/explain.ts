/**
 * Rendering of programs for `explain`: each system call as a manual page or strace writes it.
 *
 * @module
 */

import { printable } from "../text/printable.ts";
import type { Argument, Call, Program, Step } from "../../ffi/program/model.ts";

/** One step as data that JSON can hold. */
export interface ExplainedStep {
  /** Its purpose. */
  label: string;
  /** Which process runs it. */
  actor: "caller" | "container";
  /** The system call as text. */
  call: string;
  /** The register that keeps the result. */
  save?: string;
  /** The register that must hold no error. */
  when?: string;
  /** Errors that are no failure. */
  ignore?: readonly string[];
}

/** Options of the rendering. */
export interface ExplainOptions {
  /** Also the values of environment variables, which may be secrets. Default: false, their names only. */
  readonly showEnv?: boolean;
}

function argument(value: Argument): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return printable(JSON.stringify(value));
  if (typeof value !== "object") return String(value);
  if ("value" in value) return value.text;
  if ("register" in value) return `<${value.register}>`;
  if ("cell" in value) return `&<${value.cell}>`;
  if ("words" in value) return value.text ?? `{${value.words.map(argument).join(", ")}}`;
  if ("bytes" in value) return value.text ?? `[${value.bytes.length} bytes]`;
  return `[${value.map(argument).join(", ")}]`;
}

// Where the environment is among the arguments.
const ENVIRONMENT: Readonly<Record<string, number>> = { execve: 2, execveat: 3 };

function isTexts(value: Argument): value is readonly string[] {
  return Array.isArray(value);
}

/**
 * Returns a call as text: `mount("proc", ".", "proc", MS_NOSUID, NULL)`; without the values of environment variables.
 */
export function formatCall({ call, args }: Call, { showEnv = false }: ExplainOptions = {}): string {
  const shown = args.map((value, i) =>
    !showEnv && i === ENVIRONMENT[call] && isTexts(value)
      ? value.map((variable) => variable.replace(/=.*/s, "=…"))
      : value
  );
  return `${call}(${shown.map(argument).join(", ")})`;
}

/** Returns the steps of `program` as data. */
export function explain(program: Program, options: ExplainOptions = {}): ExplainedStep[] {
  return program.map(({ label, actor, save, when, ignore, ...rest }) => ({
    label,
    actor,
    call: formatCall(rest, options),
    ...(save === undefined ? {} : { save }),
    ...(when === undefined ? {} : { when }),
    ...(ignore === undefined || ignore.length === 0 ? {} : { ignore }),
  }));
}

function formatStep(step: Step, number: number, options: ExplainOptions): string {
  const details = [
    step.save === undefined ? "" : ` -> <${step.save}>`,
    step.when === undefined ? "" : `   only if <${step.when}> is there`,
    step.ignore?.length ? `   ${step.ignore.join(", ")} is fine` : "",
  ];
  return `${String(number).padStart(4)}  ${formatCall(step, options)}${details.join("")}`;
}

/** Returns the steps of `program` as a text: reasons as headings, calls numbered below them. */
export function formatProgram(program: Program, options: ExplainOptions = {}): string {
  const lines: string[] = [];
  let actor = "", label = "";
  program.forEach((step, i) => {
    if (step.actor !== actor) lines.push(`${lines.length ? "\n" : ""}== ${step.actor} ==`);
    if (step.label !== label || step.actor !== actor) lines.push(`# ${printable(step.label)}`);
    [actor, label] = [step.actor, step.label];
    lines.push(formatStep(step, i + 1, options));
  });
  return lines.join("\n") + "\n";
}
