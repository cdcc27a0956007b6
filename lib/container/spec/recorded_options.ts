/**
 * What a record keeps of what was asked: enough to start the container again, and to run more commands in it.
 *
 * @module
 */

import type { ContainerOptions, RecordedOptions } from "../options.ts";

function absolute(volume: string): string {
  return volume.startsWith("/") ? volume : `${Deno.cwd()}/${volume}`;
}

/** The part of `options` that a record keeps. Sources of volumes no longer depend on the working directory. */
export function optionsToRecord(options: ContainerOptions): RecordedOptions {
  const { env, cwd, user, groups, init, stopSignal, stopTimeout, labels, hostname } = options;
  const { limits, ulimits, sysctls, oomScoreAdj, volumes, tmpfs, devices, deviceRules, readOnly, shmSize } = options;
  const { network, networkAliases, containerAddress, bridgeAddress, publish, expose, publishAll, netRate } = options;
  const { dns, dnsSearch, dnsOptions, addHosts } = options;
  const { capAdd, capDrop, privileged, allowNewPrivileges, cgroupParent } = options;
  const { interactive, tty, restart, logSize, logFiles, health } = options;
  return {
    ...{ interactive, tty, restart, logSize, logFiles, health },
    ...{ env, cwd, user, groups, init, stopSignal, stopTimeout, labels, hostname },
    ...{ limits, ulimits, sysctls, oomScoreAdj },
    ...{ volumes: volumes?.map(absolute), tmpfs, devices, deviceRules, readOnly },
    ...{ shmSize, network, networkAliases, containerAddress, bridgeAddress, publish, expose, publishAll, netRate },
    ...{ dns, dnsSearch, dnsOptions, addHosts, capAdd, capDrop, privileged, allowNewPrivileges, cgroupParent },
  };
}
