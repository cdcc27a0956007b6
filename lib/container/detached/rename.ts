/**
 * Giving containers another name.
 *
 * @module
 */

import { ContainerError } from "../../errors.ts";
import { recordEvent } from "../state/event.ts";
import { claimName, findContainer, releaseName } from "../state/names.ts";
import { checkContainerName } from "../spec/spec.ts";
import { withRecord, writeRecord } from "../state/record.ts";

/**
 * Gives a container another name. Its siblings on networks know it by the new one when it is next started.
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
  if (!before) {
    throw new ContainerError(`container ${id} has been removed meanwhile`, {
      code: "container-not-found",
      facts: { id },
    });
  }
  if (before.name === name) return;
  if (before.name !== undefined) releaseName(containers, before.name, id);
  recordEvent(containers, "rename", { ...before, name }, { oldName: before.name });
}
