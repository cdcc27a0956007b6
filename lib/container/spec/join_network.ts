/**
 * Joining another container's network.
 *
 * @module
 */

import { findContainer } from "../state/names.ts";
import { isRunning } from "../state/record.ts";
import { readOwnership } from "../state/ownership.ts";
import { ContainerError } from "../../errors.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import { sharedFiles } from "../../network/name_files.ts";
import { readOwnFile } from "../../network/hosts_files.ts";
import { requireVisibleOwner } from "../state/errors.ts";

/**
 * The network of the running container that `query` names, and the files that go with it.
 *
 * @throws {ContainerError} `container-not-found`, `not-running`.
 */
export function joinContainer(
  containers: string,
  query: string,
  hostname: string,
): Pick<ContainerSpec, "network" | "files"> {
  const { id } = findContainer(containers, query);
  const liveness = readOwnership(containers, id);
  requireVisibleOwner(containers, id, liveness);
  if (!liveness?.process || !isRunning(liveness)) {
    throw new ContainerError(`the container ${query} does not run, so that its network cannot be joined`, {
      code: "not-running",
      facts: { query, id },
      hint: "sauropod ps lists those that run",
    });
  }
  const { pid } = liveness.process;
  return {
    network: { mode: "join", namespace: `/proc/${pid}/ns/net` },
    files: sharedFiles(hostname, (path) => readOwnFile(pid, path)),
  };
}
