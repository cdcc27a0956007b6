/**
 * Giving containers another name.
 *
 * @module
 */

import { recordEvent } from "./event.ts";
import { claimName, findContainer, releaseName } from "./names.ts";
import { checkContainerName } from "./prepare.ts";
import { readRecord, writeRecord } from "./record.ts";

/**
 * Gives a container another name. Its siblings on networks know it by the new one when it is next started.
 *
 * @throws {InputError} `bad-name`.
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `name-taken`.
 */
export function renameContainer(containers: string, container: string, name: string): void {
  checkContainerName(name);
  const { id, name: before, image } = findContainer(containers, container);
  const folder = `${containers}/${id}`;
  claimName(containers, name, id, () => {
    const record = readRecord(folder);
    if (record) writeRecord(folder, { ...record, name });
  });
  if (before === name) return;
  if (before !== undefined) releaseName(containers, before, id);
  recordEvent(containers, "rename", { id, name, image }, { oldName: before });
}
