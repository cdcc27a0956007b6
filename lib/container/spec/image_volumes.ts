/**
 * Volumes of an image config.
 *
 * @module
 */

import type { ContainerOptions } from "../options.ts";
import { containerPath, tmpfsTarget, volumeTarget } from "./parse.ts";
import { InputError } from "../../errors.ts";
import { absolute } from "./image_settings.ts";

const MAX_VOLUMES = 100;

/**
 * Adds the image's volumes to options, except those on which the user mounts something else.
 *
 * @throws {InputError} `bad-mount` for invalid volumes, or more than {@linkcode MAX_VOLUMES}.
 */
export function addImageVolumes<T extends ContainerOptions>(options: T, named: Readonly<Record<string, unknown>>): T {
  const { volumes = [], tmpfs = [] } = options;
  const taken = [...volumes.map(volumeTarget), ...tmpfs.map(tmpfsTarget)].map(absolute);
  const all = Object.keys(named).map((path) => containerPath(absolute(path), "the image's volume", path));
  const own = [...new Set(all)].filter((path) => !taken.includes(path));
  const odd = own.find((path) => path.includes(":"));
  if (odd !== undefined || own.length > MAX_VOLUMES) {
    throw new InputError(
      `cannot create ${odd === undefined ? `${own.length} volumes` : `volume ${JSON.stringify(odd)}`} of the image`,
      {
        code: "bad-mount",
        facts: { volumes: own.length, ...(odd === undefined ? {} : { volume: odd }) },
        hint: `use an image with at most ${MAX_VOLUMES} volumes, whose paths have no colon`,
      },
    );
  }
  return own.length > 0 ? { ...options, volumes: [...volumes, ...own] } : options;
}
