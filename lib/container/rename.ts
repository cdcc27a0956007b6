/**
 * Giving containers another name.
 *
 * @module
 */

import { ContainerError } from "../errors.ts";
import { recordEvent } from "./event.ts";
import { claimName, findContainer, releaseName } from "./names.ts";
import { checkContainerName } from "./prepare.ts";
import { withRecord, writeRecord } from "./record.ts";

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
  const renamed = withRecord(folder, (record) => {
    claimName(containers, name, id, () => writeRecord(folder, { ...record, name }));
    return true;
  });
  if (!renamed) {
    throw new ContainerError(`container ${id} has been removed meanwhile`, {
      code: "container-not-found",
      facts: { id },
    });
  }
  if (before === name) return;
  if (before !== undefined) releaseName(containers, before, id);
  recordEvent(containers, "rename", { id, name, image }, { oldName: before });
}
