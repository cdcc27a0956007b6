/**
 * Networks, for scripts.
 *
 * @module
 */

import type { FolderOptions } from "../host/folders.ts";
import { lazy } from "../lazy.ts";
import type { NetworkOptions } from "../network/definition.ts";
import type { NetworkInfo } from "../network/manage.ts";

/**
 * Makes a bridged network.
 *
 * @throws {InputError} for options that make no sense.
 * @throws {NetworkError} if there is one of that name, or its subnet is taken. Nothing is left then.
 */
export async function createNetwork(name: string, options: NetworkOptions & FolderOptions = {}): Promise<NetworkInfo> {
  const { createNetwork } = await lazy.networkManage();
  return createNetwork(name, options);
}

/**
 * Removes a bridged network.
 *
 * @throws {NetworkError} if there is none of that name, or a container uses it.
 */
export async function removeNetwork(name: string, options: FolderOptions = {}): Promise<void> {
  const { removeNetwork } = await lazy.networkManage();
  await removeNetwork(name, options);
}

/** All bridged networks, and who is on them. */
export async function listNetworks(options: FolderOptions = {}): Promise<NetworkInfo[]> {
  const { listNetworks } = await lazy.networkManage();
  return listNetworks(options);
}
