/**
 * Network of another container (`--network container:NAME`).
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
 * Returns the network of the running container that `query` names, and its name files.
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
    throw new ContainerError(`cannot join the network of container ${query}: it is not running`, {
      code: "not-running",
      facts: { query, id },
      hint: "list running containers with sauropod ps",
    });
  }
  const { pid } = liveness.process;
  return {
    network: { mode: "join", namespace: `/proc/${pid}/ns/net` },
    files: sharedFiles(hostname, (path) => readOwnFile(pid, path)),
  };
}
