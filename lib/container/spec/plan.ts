/**
 * Container plan: options and image to specification, record and network reservation.
 *
 * @module
 */

import type { Image } from "../../store/image.ts";
import { now } from "../../host/clock.ts";
import { lazy } from "../../lazy.ts";
import type { NetworkReservation } from "../../network/reserve.ts";
import { selectNetwork } from "../../network/selection.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import { optionsToRecord } from "./recorded_options.ts";
import type { ContainerOptions } from "../options.ts";
import { completeFromImage, hostnameOf, prepare } from "./spec.ts";
import type { ContainerRecord } from "../state/record.ts";
import { newId } from "../state/ownership.ts";

/** A planned container. */
export interface Plan<Options extends ContainerOptions = ContainerOptions> {
  /** Its specification, without a reserved network. */
  readonly spec: ContainerSpec;
  /** Its image. */
  readonly image: Image;
  /** The directory of containers. */
  readonly containers: string;
  /** The options, completed from the image. */
  readonly options: Options;
}

/**
 * Plans a new container of `image`. Validates all options and changes nothing.
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

/** The record of a planned container. */
export function recordOf({ spec, image, options }: Plan, reservation?: NetworkReservation): ContainerRecord {
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
    ...networksToRecord(reservation),
  };
}

/** Returns the network fields of the record. */
export function networksToRecord(
  reservation: NetworkReservation | undefined,
): Pick<ContainerRecord, "networks" | "ports"> {
  if (!reservation) return {};
  return { networks: reservation.attachments, ...(reservation.ports.length ? { ports: reservation.ports } : {}) };
}

/** Returns the specification with the reserved network. */
export function withNetwork({ spec }: Plan, reservation: NetworkReservation | undefined): ContainerSpec {
  return reservation ? { ...spec, network: reservation.network, files: reservation.files } : spec;
}

/**
 * Reserves addresses and ports for the container if it asks for bridged networks. With `apart` another process is to hold
 * its ports.
 *
 * @throws whatever `reserve` throws.
 */
export async function reserveNetworks(
  { spec: { id }, containers, options }: Plan,
  apart = false,
): Promise<NetworkReservation | undefined> {
  const selection = selectNetwork(options);
  if (selection.mode !== "bridge") return undefined;
  const { reserve } = await lazy.networkReserve();
  const { memberships } = selection, hostname = hostnameOf(id, options);
  return reserve({ id, name: options.name, hostname, containers, memberships, options, apart });
}
