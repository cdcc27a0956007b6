/** Emulated machines: scripts whose sections are run one after the other, and what each of them wrote. */

import assert from "node:assert/strict";

/** How a section ended. */
export interface Section {
  readonly code: number;
  readonly output: string;
}

/** Why the machine of a script in tests/tools cannot be had; empty if it can. */
export function obstacle(script: string): string {
  const { code, stderr } = new Deno.Command(script, { args: [] }).outputSync();
  return code === 0 ? "" : `its parts cannot be had: ${new TextDecoder().decode(stderr).trim()}`;
}

/** A shell script of these sections. */
export function sectionScript(sections: Readonly<Record<string, string>>): string {
  return Object.entries(sections).map(([name, command]) => `echo "<${name}>"; { ${command}; } 2>&1; echo "</$?>"`)
    .join("\n");
}

/** Runs a machine until its script is done. */
export async function runSections(script: string, options: Deno.CommandOptions): Promise<ReadonlyMap<string, Section>> {
  const command = new Deno.Command(script, { ...options, stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  const [text, complaints] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${text}\n${complaints}`);
  return new Map(
    text?.matchAll(/<(\w+)>\n([^]*?)<\/(\d+)>\n/g).map(([, name = "", output = "", code]) => [
      name,
      { output, code: Number(code) },
    ]),
  );
}
