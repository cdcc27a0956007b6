/**
 * `sauropod doctor`: prerequisites on this machine.
 *
 * @module
 */

import { examine } from "../../lib/api/doctor.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { printJson, printOut, table } from "../output/output.ts";

/** Prints what works. Returns 1 if containers cannot be run. */
export async function doctor(flags: FolderOptions & { json?: boolean }): Promise<number> {
  const findings = await examine(findFolders(flags));
  if (flags.json) printJson(findings);
  else {
    const rows = findings.map(({ what, ok, found, consequence }) => [ok ? "ok" : "--", what, found, consequence]);
    printOut(table(["", "WHAT", "FOUND", "CONSEQUENCE"], rows));
  }
  return findings.at(-1)?.ok ? 0 : 1;
}
