/**
 * How scripts name containers.
 *
 * @module
 */

import type { Container } from "../container/attached/attached.ts";

/** A container: itself, its name, its id or the beginning of its id. */
export type ContainerReference = string | Pick<Container, "id">;

/** What finds the container. */
export function queryOf(container: ContainerReference): string {
  return typeof container === "string" ? container : container.id;
}
