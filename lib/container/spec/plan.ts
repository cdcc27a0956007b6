/**
 * Plans of new containers: from options to specification, record and network reservation.
 *
 * @module
 */

import type { Image } from "../../image/resolve.ts";
import { now } from "../../host/clock.ts";
import { lazy } from "../../lazy.ts";
import type { Committed, NetworkReservation } from "../../network/reserve.ts";
import { requestNetwork } from "../../network/request.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import { optionsToRecord } from "./recorded_options.ts";
import type { ContainerOptions } from "./options.ts";
import { completeFromImage, hostnameOf, prepare } from "./spec.ts";
import type { ContainerRecord } from "../state/record.ts";
import { newId } from "../state/ownership.ts";

/** A new container that is checked and not yet created. */
export interface Plan<Options extends ContainerOptions = ContainerOptions> {
  /** Its specification, without bridged networks. */
  readonly spec: ContainerSpec;
  /** Its image. */
  readonly image: Image;
  /** The directory of containers. */
  readonly containers: string;
  /** Its options, completed from the image. */
  readonly options: Options;
}

/**
 * Plans a new container of `image`: checks everything, creates nothing.
 *
 * @throws {InputError} for invalid options.
 * @throws {CgroupError} for limits that this host cannot set.
 */
export async function planContainer<Options extends ContainerOptions>(
  image: Image,
  asked: readonly string[],
  wishes: Options,
  containers: string,
): Promise<Plan<Options>> {
  const { command, options } = await completeFromImage(image, asked, wishes);
  const id = newId();
  const spec = await prepare(id, image, command, options, `${containers}/${id}`);
  return { spec, image, containers, options };
}

function foldersOf(
  { layers = [], line }: Image,
  lower: readonly string[],
): Pick<ContainerRecord, "lower" | "layers" | "line"> {
  if (line === undefined) return { lower };
  return { lower: lower.slice(layers.length), ...(layers.length ? { layers } : {}), line };
}

/** Returns the record of a planned container. */
export function recordOf({ spec, image, options }: Plan, place?: NetworkReservation): ContainerRecord {
  return {
    version: 1,
    id: spec.id,
    ...(options.name === undefined ? {} : { name: options.name }),
    image: image.name,
    ...(image.digest === undefined ? {} : { imageDigest: image.digest }),
    ...foldersOf(image, spec.rootfs.lower),
    command: spec.process.args,
    options: optionsToRecord(options),
    created: now(),
    keep: options.keep ?? false,
    cgroups: spec.cgroups.groups.map((group) => group.path),
    ...placeOf(place),
  };
}

/** Returns the record's part of a network reservation. */
export function placeOf(place: NetworkReservation | undefined): Pick<ContainerRecord, "networks" | "ports"> {
  if (!place) return {};
  return { networks: place.attachments, ...(place.ports.length ? { ports: place.ports } : {}) };
}

/** Returns the specification with its network reservation. */
export function withNetwork({ spec }: Plan, place: NetworkReservation | undefined): ContainerSpec {
  return place ? { ...spec, network: place.network, files: place.files } : spec;
}

/**
 * Runs `work` while network addresses and ports are reserved for the container. With `apart` another process holds its
 * ports. Throws as `withPlace`.
 */
export async function withNetworkReservation<T>(
  { spec: { id }, containers, options }: Plan,
  work: (place?: NetworkReservation) => Promise<Committed<T>>,
  apart = false,
): Promise<T> {
  const request = requestNetwork(options);
  if (request.mode !== "bridge") return (await work()).made;
  const { withPlace } = await lazy.networkAttach();
  const { memberships } = request;
  return withPlace({ id, hostname: hostnameOf(id, options), containers, memberships, options, apart }, work);
}
