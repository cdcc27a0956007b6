/**
 * Static assertions that the C headers have the layout of `layout.ts`.
 *
 * @module
 */

import * as layout from "./layout.ts";

const HEADERS = ["program", "job", "load", "shim"];

function assertion(expression: string, value: number): string {
  return `_Static_assert(${expression} == ${value}, "layout.ts");\n`;
}

function structure(name: string, { size, ...offsets }: { readonly size: number }): string {
  const fields = Object.entries<number>(offsets).map(([key, offset]) =>
    assertion(`offsetof(struct ${name}, ${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)})`, offset)
  );
  return assertion(`sizeof(struct ${name})`, size) + fields.join("");
}

function constants(values: Readonly<Record<string, number>>): string {
  return Object.entries(values).map(([name, value]) => assertion(`(unsigned)${name.toUpperCase()}`, value)).join("");
}

/** Returns C source that compiles, to nothing, only if the headers beside this file have the numbers of `layout.ts`. */
export function layoutAssertions(): string {
  return [
    "#include <stddef.h>\n",
    ...HEADERS.map((name) => `#include "${name}.h"\n`),
    structure("program", layout.PROGRAM),
    structure("step", layout.STEP),
    structure("job", layout.JOB),
    structure("registers", layout.REGISTERS),
    structure("report", layout.REPORT),
    constants(layout.NUMBERS),
    constants(layout.PSEUDO),
    constants(layout.SHAPES),
  ].join("");
}
