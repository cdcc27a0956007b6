/**
 * API of bridged networks.
 *
 * @module
 */

import type { FolderOptions } from "../host/folders.ts";
import { lazy } from "../lazy.ts";
import type { NetworkOptions } from "../network/definition.ts";
import type { NetworkInfo } from "../network/manage.ts";

/**
 * Creates a bridged network.
 *
 * @throws {InputError} for invalid options.
 * @throws {NetworkError} if the name or the subnet is in use. Nothing remains then.
 */
export async function createNetwork(name: string, options: NetworkOptions & FolderOptions = {}): Promise<NetworkInfo> {
  const { createNetwork } = await lazy.networkManage();
  return createNetwork(name, options);
}

/**
 * Removes a bridged network.
 *
 * @throws {NetworkError} if it does not exist, or a container uses it.
 */
export async function removeNetwork(name: string, options: FolderOptions = {}): Promise<void> {
  const { removeNetwork } = await lazy.networkManage();
  await removeNetwork(name, options);
}

/** Lists all bridged networks and their containers. */
export async function listNetworks(options: FolderOptions = {}): Promise<NetworkInfo[]> {
  const { listNetworks } = await lazy.networkManage();
  return listNetworks(options);
}
