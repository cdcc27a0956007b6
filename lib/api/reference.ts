/**
 * References to containers.
 *
 * @module
 */

import type { Container } from "../container/attached/attached.ts";

/** A container: the value itself, its name, ID, or prefix of its ID. */
export type ContainerReference = string | Pick<Container, "id">;

/** Returns the name or ID in a reference. */
export function queryOf(container: ContainerReference): string {
  return typeof container === "string" ? container : container.id;
}
