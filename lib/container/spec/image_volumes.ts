/**
 * Folders of which an image says that their content is the container's own.
 *
 * @module
 */

import type { ContainerOptions } from "../options.ts";
import { containerPath, tmpfsTarget, volumeTarget } from "./parse.ts";
import { InputError } from "../../errors.ts";
import { absolute } from "./image_settings.ts";

const MOST = 100;

/**
 * The options of a container, with a volume of its own for each that its image names and on which the user mounts nothing
 * else.
 *
 * @throws {InputError} `bad-mount` for volumes that no container can have.
 */
export function addImageVolumes<T extends ContainerOptions>(options: T, named: Readonly<Record<string, unknown>>): T {
  const { volumes = [], tmpfs = [] } = options;
  const taken = [...volumes.map(volumeTarget), ...tmpfs.map(tmpfsTarget)].map(absolute);
  const all = Object.keys(named).map((path) => containerPath(absolute(path), "the image's volume", path));
  const own = [...new Set(all)].filter((path) => !taken.includes(path));
  const odd = own.find((path) => path.includes(":"));
  if (odd !== undefined || own.length > MOST) {
    throw new InputError(`the image names ${odd === undefined ? `${own.length} volumes` : `the volume ${odd}`}`, {
      code: "bad-mount",
      facts: { volumes: own.length, ...(odd === undefined ? {} : { volume: odd }) },
      hint: `there can be ${MOST} at most, whose paths have no colon`,
    });
  }
  return own.length > 0 ? { ...options, volumes: [...volumes, ...own] } : options;
}
