/**
 * Renaming containers.
 *
 * @module
 */

import { removedMeanwhile } from "../state/errors.ts";
import { recordEvent } from "../state/event.ts";
import { claimName, findContainer, releaseName } from "../state/names.ts";
import { checkContainerName } from "../spec/spec.ts";
import { withRecord, writeRecord } from "../state/record.ts";

/**
 * Renames a container. Its peers on networks resolve the new name after its next start.
 *
 * @throws {InputError} `bad-name`.
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `name-taken`.
 */
export function renameContainer(containers: string, container: string, name: string): void {
  checkContainerName(name);
  const { id } = findContainer(containers, container);
  const folder = `${containers}/${id}`;
  const before = withRecord(folder, (record) => {
    claimName(containers, name, id, () => writeRecord(folder, { ...record, name }));
    return record;
  });
  if (!before) throw removedMeanwhile(id);
  if (before.name === name) return;
  if (before.name !== undefined) releaseName(containers, before.name, id);
  recordEvent(containers, "rename", { ...before, name }, { oldName: before.name });
}
