/**
 * An image as the value that containers are made of, and its pull policy.
 *
 * @module
 */

import type { ImageSettings } from "../oci.ts";

/** When to pull an image. */
export type PullPolicy = "always" | "missing" | "never";

/** How an image is stored. */
export type ImageKind = "host" | "folder" | "archive" | "stored" | "container";

/** An image, ready to be mounted. */
export interface Image {
  /** The name under which it was requested. */
  name: string;
  /** The absolute paths of its layers' directories for overlayfs, uppermost first. */
  lower: readonly string[];
  /** How it is stored. */
  kind: ImageKind;
  /** The layers of a forked container above them, uppermost first. Default: none. */
  layers?: readonly string[];
  /** When the first container of the line of forks was created. Default: the image is no fork. */
  line?: string;
  /** The digest of its manifest, if it is in the store. */
  digest?: string;
  /** The settings for containers in its image config. Default: none. */
  settings?: ImageSettings;
  /** Releases the image to pruning; to be called once a container has been created of it, or will not be. */
  release?: () => void;
}
