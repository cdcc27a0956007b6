/**
 * A Dockerfile as stages, everything checked that can be without its images. Pure.
 *
 * @module
 */

import { listed } from "../text/listed.ts";
import { type Instruction, readInstruction } from "./instructions.ts";
import { readLines } from "./lines.ts";
import { malformed, type Position, wrong } from "./problems.ts";

/** One stage: what follows a FROM. */
export interface Stage extends Position {
  /** Its name. */
  readonly name?: string;
  /** Base image or stage, as written. */
  readonly image: string;
  /** The platform, as it is written. */
  readonly platform?: string;
  /** The FROM as people read it. */
  readonly text: string;
  /** Instructions. */
  readonly steps: readonly Step[];
}

/** One instruction of a stage. */
export type Step = Exclude<Instruction, { kind: "FROM" }>;

/** A Dockerfile. */
export interface Dockerfile {
  /** File name, as the user wrote it. */
  readonly file: string;
  /** The character that takes others their meaning. */
  readonly escape: string;
  /** The ARGs before the first FROM. */
  readonly globals: readonly Extract<Instruction, { kind: "ARG" }>[];
  /** The stages, in order. */
  readonly stages: readonly Stage[];
}

/** More stages than anybody writes; what is said of each is compared with all others. */
const MAX_STAGES = 1000;
const MOST_NAMED = 20;

/**
 * Returns the number of the stage that `text` names, by name or number, among the first `end` stages; undefined if it names none.
 */
export function stageNumber({ stages }: Dockerfile, text: string, end: number): number | undefined {
  const name = text.toLowerCase();
  for (let number = end - 1; number >= 0; number--) if (stages[number]?.name === name) return number;
  return /^\d+$/.test(text) && Number(text) < end ? Number(text) : undefined;
}

function checkSources(dockerfile: Dockerfile): void {
  const { stages } = dockerfile;
  for (const [i, { steps }] of stages.entries()) {
    for (const step of steps) {
      if (step.kind !== "COPY" || step.from === undefined) continue;
      const known = stageNumber(dockerfile, step.from, i) !== undefined;
      if (known || !/^\d+$/.test(step.from) && stageNumber(dockerfile, step.from, stages.length) === undefined) {
        continue;
      }
      const earlier = listed(stages.slice(0, i).map(({ name }, number) => name ?? String(number)), MOST_NAMED) ||
        "none";
      throw wrong(step, `there is no stage ${step.from} before this one`, "unknown-stage", `earlier are: ${earlier}`);
    }
  }
}

/**
 * Reads a Dockerfile; `file` names it in errors.
 *
 * @throws {InputError} `bad-dockerfile`, `dockerfile-unsupported`, `unknown-stage`.
 */
export function parseDockerfile(file: string, text: string): Dockerfile {
  const { escape, lines } = readLines(file, text);
  const globals: Extract<Instruction, { kind: "ARG" }>[] = [], stages: (Stage & { steps: Step[] })[] = [];
  for (const line of lines) {
    const instruction = readInstruction(line, escape);
    if (instruction.kind === "FROM") {
      const { as: name, kind: _, ...rest } = instruction;
      if (stages.length === MAX_STAGES) throw malformed(line, `there are more than ${MAX_STAGES} stages`);
      if (name !== undefined && stages.some((stage) => stage.name === name)) {
        throw malformed(line, `there are two stages called ${name}`);
      }
      stages.push({ ...rest, ...(name === undefined ? {} : { name }), steps: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage) stage.steps.push(instruction);
    else if (instruction.kind === "ARG") globals.push(instruction);
    else throw malformed(line, `${instruction.kind} stands before the first FROM`, "only ARG can");
  }
  if (stages.length === 0) throw malformed({ file, line: 1 }, "no FROM instruction", "FROM IMAGE, or FROM scratch");
  const dockerfile = { file, escape, globals, stages };
  checkSources(dockerfile);
  return dockerfile;
}
