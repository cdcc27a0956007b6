/**
 * Modules that most containers do without, loaded when they are needed.
 *
 * The specifiers are no literals on purpose: Deno reads everything that a literal `import()` can reach at every start.
 * `preload.ts` imports the same modules for those who want them at once and for tools that must know them.
 *
 * @module
 */

const load = (specifier: string) => import(specifier);

/** One function for each module. */
export const lazy = {
  archive: (): Promise<typeof import("./image/archive.ts")> => load("./image/archive.ts"),
  unpack: (): Promise<typeof import("./image/unpack.ts")> => load("./image/unpack.ts"),
  decompress: (): Promise<typeof import("./image/decompress.ts")> => load("./image/decompress.ts"),
  chunks: (): Promise<typeof import("./image/chunks.ts")> => load("./image/chunks.ts"),
  stored: (): Promise<typeof import("./image/stored.ts")> => load("./image/stored.ts"),
  full: (): Promise<typeof import("./image/full.ts")> => load("./image/full.ts"),
  implied: (): Promise<typeof import("./image/implied.ts")> => load("./image/implied.ts"),
  layers: (): Promise<typeof import("./image/layers.ts")> => load("./image/layers.ts"),
  pull: (): Promise<typeof import("./image/pull.ts")> => load("./image/pull.ts"),
  push: (): Promise<typeof import("./image/push.ts")> => load("./image/push.ts"),
  importImage: (): Promise<typeof import("./image/exchange/import.ts")> => load("./image/exchange/import.ts"),
  loadImages: (): Promise<typeof import("./image/exchange/load.ts")> => load("./image/exchange/load.ts"),
  saveImages: (): Promise<typeof import("./image/exchange/save.ts")> => load("./image/exchange/save.ts"),
  buildImage: (): Promise<typeof import("./image/build/build.ts")> => load("./image/build/build.ts"),
  imageManage: (): Promise<typeof import("./image/manage.ts")> => load("./image/manage.ts"),
  commit: (): Promise<typeof import("./container/commit.ts")> => load("./container/commit.ts"),
  imageSettings: (): Promise<typeof import("./image/settings.ts")> => load("./image/settings.ts"),
  imageVolumes: (): Promise<typeof import("./image/volumes.ts")> => load("./image/volumes.ts"),
  passwd: (): Promise<typeof import("./image/passwd.ts")> => load("./image/passwd.ts"),
  deviceFilter: (): Promise<typeof import("../ffi/device_filter.ts")> => load("../ffi/device_filter.ts"),
  cgroupRemove: (): Promise<typeof import("./cgroup/remove.ts")> => load("./cgroup/remove.ts"),
  cgroupUsage: (): Promise<typeof import("./cgroup/usage.ts")> => load("./cgroup/usage.ts"),
  kernelSettings: (): Promise<typeof import("./container/kernel_settings.ts")> =>
    load("./container/kernel_settings.ts"),
  idFile: (): Promise<typeof import("./id_file.ts")> => load("./id_file.ts"),
  listed: (): Promise<typeof import("./listed.ts")> => load("./listed.ts"),
  labels: (): Promise<typeof import("./labels.ts")> => load("./labels.ts"),
  list: (): Promise<typeof import("./container/list.ts")> => load("./container/list.ts"),
  events: (): Promise<typeof import("./container/events.ts")> => load("./container/events.ts"),
  ahead: (): Promise<typeof import("./container/ahead.ts")> => load("./container/ahead.ts"),
  exec: (): Promise<typeof import("./container/exec.ts")> => load("./container/exec.ts"),
  start: (): Promise<typeof import("./container/start.ts")> => load("./container/start.ts"),
  stop: (): Promise<typeof import("./container/stop.ts")> => load("./container/stop.ts"),
  rename: (): Promise<typeof import("./container/rename.ts")> => load("./container/rename.ts"),
  freezer: (): Promise<typeof import("./cgroup/freezer.ts")> => load("./cgroup/freezer.ts"),
  freeze: (): Promise<typeof import("./container/freeze.ts")> => load("./container/freeze.ts"),
  files: (): Promise<typeof import("./container/files.ts")> => load("./container/files.ts"),
  fork: (): Promise<typeof import("./container/fork.ts")> => load("./container/fork.ts"),
  failure: (): Promise<typeof import("./container/failure.ts")> => load("./container/failure.ts"),
  leftovers: (): Promise<typeof import("./container/leftovers.ts")> => load("./container/leftovers.ts"),
  mountOption: (): Promise<typeof import("./container/mount_option.ts")> => load("./container/mount_option.ts"),
  names: (): Promise<typeof import("./container/names.ts")> => load("./container/names.ts"),
  parse: (): Promise<typeof import("./container/parse.ts")> => load("./container/parse.ts"),
  streamAccess: (): Promise<typeof import("./container/stream_access.ts")> => load("./container/stream_access.ts"),
  volumes: (): Promise<typeof import("./container/volumes.ts")> => load("./container/volumes.ts"),
  pump: (): Promise<typeof import("./container/pump.ts")> => load("./container/pump.ts"),
  pause: (): Promise<typeof import("./container/pause.ts")> => load("./container/pause.ts"),
  stats: (): Promise<typeof import("./container/stats.ts")> => load("./container/stats.ts"),
  top: (): Promise<typeof import("./container/top.ts")> => load("./container/top.ts"),
  update: (): Promise<typeof import("./container/update.ts")> => load("./container/update.ts"),
  networkAttach: (): Promise<typeof import("./network/attach.ts")> => load("./network/attach.ts"),
  bridgeSetup: (): Promise<typeof import("./network/bridge_setup.ts")> => load("./network/bridge_setup.ts"),
  networkJoin: (): Promise<typeof import("./network/join.ts")> => load("./network/join.ts"),
  networkManage: (): Promise<typeof import("./network/manage.ts")> => load("./network/manage.ts"),
  networkDescribe: (): Promise<typeof import("./network/describe.ts")> => load("./network/describe.ts"),
  networkGuard: (): Promise<typeof import("./network/guard.ts")> => load("./network/guard.ts"),
  networkInstall: (): Promise<typeof import("./network/install.ts")> => load("./network/install.ts"),
  publication: (): Promise<typeof import("./network/publication.ts")> => load("./network/publication.ts"),
  environment: (): Promise<typeof import("./environment.ts")> => load("./environment.ts"),
  environmentFile: (): Promise<typeof import("./environment_file.ts")> => load("./environment_file.ts"),
} as const;
