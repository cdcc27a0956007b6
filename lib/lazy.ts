/**
 * Lazily loaded modules: those that most containers do not need.
 *
 * The specifiers are deliberately no literals: at every start Deno reads each file that a literal `import()` can reach.
 * `preload.ts` imports the same modules, for callers that need them at once and for tools that must know them.
 *
 * @module
 */

const load = (specifier: string) => import(specifier);

/** One function for each module. */
export const lazy = {
  archive: (): Promise<typeof import("./image/archive.ts")> => load("./image/archive.ts"),
  unpack: (): Promise<typeof import("./tar/unpack.ts")> => load("./tar/unpack.ts"),
  decompress: (): Promise<typeof import("./tar/decompress.ts")> => load("./tar/decompress.ts"),
  chunks: (): Promise<typeof import("./tar/chunks.ts")> => load("./tar/chunks.ts"),
  stored: (): Promise<typeof import("./store/stored.ts")> => load("./store/stored.ts"),
  full: (): Promise<typeof import("./store/enospc.ts")> => load("./store/enospc.ts"),
  implied: (): Promise<typeof import("./store/missing_parents.ts")> => load("./store/missing_parents.ts"),
  layers: (): Promise<typeof import("./store/ensure_layers.ts")> => load("./store/ensure_layers.ts"),
  pull: (): Promise<typeof import("./image/pull.ts")> => load("./image/pull.ts"),
  push: (): Promise<typeof import("./image/push.ts")> => load("./image/push.ts"),
  importImage: (): Promise<typeof import("./image/exchange/import.ts")> => load("./image/exchange/import.ts"),
  loadImages: (): Promise<typeof import("./image/exchange/load.ts")> => load("./image/exchange/load.ts"),
  saveImages: (): Promise<typeof import("./image/exchange/save.ts")> => load("./image/exchange/save.ts"),
  buildImage: (): Promise<typeof import("./build/build.ts")> => load("./build/build.ts"),
  imageManage: (): Promise<typeof import("./image/manage.ts")> => load("./image/manage.ts"),
  removeImages: (): Promise<typeof import("./build/remove_images.ts")> => load("./build/remove_images.ts"),
  commit: (): Promise<typeof import("./container/files/commit.ts")> => load("./container/files/commit.ts"),
  imageSettings: (): Promise<typeof import("./container/spec/image_settings.ts")> =>
    load("./container/spec/image_settings.ts"),
  imageVolumes: (): Promise<typeof import("./container/spec/image_volumes.ts")> =>
    load("./container/spec/image_volumes.ts"),
  passwd: (): Promise<typeof import("./image/passwd.ts")> => load("./image/passwd.ts"),
  deviceFilter: (): Promise<typeof import("../ffi/program/device_filter.ts")> =>
    load("../ffi/program/device_filter.ts"),
  cgroupRemove: (): Promise<typeof import("./cgroup/remove.ts")> => load("./cgroup/remove.ts"),
  cgroupUsage: (): Promise<typeof import("./cgroup/usage.ts")> => load("./cgroup/usage.ts"),
  kernelSettings: (): Promise<typeof import("./container/spec/kernel_settings.ts")> =>
    load("./container/spec/kernel_settings.ts"),
  idFile: (): Promise<typeof import("./text/id_file.ts")> => load("./text/id_file.ts"),
  listed: (): Promise<typeof import("./text/listed.ts")> => load("./text/listed.ts"),
  labels: (): Promise<typeof import("./text/labels.ts")> => load("./text/labels.ts"),
  list: (): Promise<typeof import("./container/state/list.ts")> => load("./container/state/list.ts"),
  events: (): Promise<typeof import("./container/state/events.ts")> => load("./container/state/events.ts"),
  ahead: (): Promise<typeof import("./container/attached/prepared.ts")> => load("./container/attached/prepared.ts"),
  exec: (): Promise<typeof import("./container/attached/exec.ts")> => load("./container/attached/exec.ts"),
  start: (): Promise<typeof import("./container/detached/start.ts")> => load("./container/detached/start.ts"),
  stop: (): Promise<typeof import("./container/detached/stop.ts")> => load("./container/detached/stop.ts"),
  rename: (): Promise<typeof import("./container/detached/rename.ts")> => load("./container/detached/rename.ts"),
  freezer: (): Promise<typeof import("./cgroup/freezer.ts")> => load("./cgroup/freezer.ts"),
  freeze: (): Promise<typeof import("./container/state/freeze.ts")> => load("./container/state/freeze.ts"),
  files: (): Promise<typeof import("./container/files/files.ts")> => load("./container/files/files.ts"),
  fork: (): Promise<typeof import("./container/files/fork.ts")> => load("./container/files/fork.ts"),
  failure: (): Promise<typeof import("./container/attached/failure.ts")> => load("./container/attached/failure.ts"),
  leftovers: (): Promise<typeof import("./container/state/reclaim.ts")> => load("./container/state/reclaim.ts"),
  mountOption: (): Promise<typeof import("./container/spec/mount_option.ts")> =>
    load("./container/spec/mount_option.ts"),
  names: (): Promise<typeof import("./container/state/names.ts")> => load("./container/state/names.ts"),
  parse: (): Promise<typeof import("./container/spec/parse.ts")> => load("./container/spec/parse.ts"),
  streamAccess: (): Promise<typeof import("./container/attached/stream_access.ts")> =>
    load("./container/attached/stream_access.ts"),
  volumes: (): Promise<typeof import("./container/files/volumes.ts")> => load("./container/files/volumes.ts"),
  pump: (): Promise<typeof import("./container/attached/pump.ts")> => load("./container/attached/pump.ts"),
  pause: (): Promise<typeof import("./container/detached/pause.ts")> => load("./container/detached/pause.ts"),
  stats: (): Promise<typeof import("./container/stats/stats.ts")> => load("./container/stats/stats.ts"),
  top: (): Promise<typeof import("./container/stats/top.ts")> => load("./container/stats/top.ts"),
  update: (): Promise<typeof import("./container/detached/update.ts")> => load("./container/detached/update.ts"),
  networkReserve: (): Promise<typeof import("./network/reserve.ts")> => load("./network/reserve.ts"),
  bridgeSetup: (): Promise<typeof import("./network/bridge_setup.ts")> => load("./network/bridge_setup.ts"),
  networkJoin: (): Promise<typeof import("./container/spec/join_network.ts")> =>
    load("./container/spec/join_network.ts"),
  networkManage: (): Promise<typeof import("./network/manage.ts")> => load("./network/manage.ts"),
  networkDescribe: (): Promise<typeof import("./network/describe.ts")> => load("./network/describe.ts"),
  networkGuard: (): Promise<typeof import("./network/guard.ts")> => load("./network/guard.ts"),
  networkInstall: (): Promise<typeof import("./network/install.ts")> => load("./network/install.ts"),
  publication: (): Promise<typeof import("./network/publication.ts")> => load("./network/publication.ts"),
  environment: (): Promise<typeof import("./text/environment.ts")> => load("./text/environment.ts"),
  environmentFile: (): Promise<typeof import("./text/environment_file.ts")> => load("./text/environment_file.ts"),
} as const;
