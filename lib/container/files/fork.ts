/**
 * Forks: copy-on-write clones of a container's files.
 *
 * The upper directory of a stopped container becomes a layer below it and its fork, in constant time. That of a running
 * container stays in use by its overlay, so it is copied while the container is frozen; with reflinks (XFS, Btrfs) no data
 * is copied.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { isFolder } from "../../../ffi/fs/paths.ts";
import { mayShareBlocks, syncLater } from "../../../ffi/fs/filesystems.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, chmodAt, chownAt, openAt } from "../../../ffi/fs/fs.ts";
import type { Image } from "../../store/image.ts";
import type { ImageSettings } from "../../oci.ts";
import { cloneTree } from "./clone_tree.ts";
import { holdLayers, newLayer } from "../state/fork_layers.ts";
import { findContainer } from "../state/names.ts";
import type { ContainerOptions } from "../options.ts";
import { whileFrozen } from "../state/freeze.ts";
import { type ContainerRecord, lowerOf, statusOf, writeRecord } from "../state/record.ts";
import { withOfflineContainer } from "../state/offline_lock.ts";
import { readOwnership } from "../state/ownership.ts";
import { namesIn } from "../../host/sample.ts";
import { busy, requireVisibleOwner } from "../state/errors.ts";

/** Creates a new upper directory with mode and owner of the former one, which are those of the container's root. */
function renewUpper(layer: string, upper: string): void {
  const { mode, uid, gid } = Deno.statSync(layer);
  Deno.mkdirSync(upper, { mode: 0o755 });
  chownAt(AT_FDCWD, upper, uid ?? 0, gid ?? 0);
  chmodAt(AT_FDCWD, upper, (mode ?? 0o755) & 0o7777);
}

/** Completes or rolls back a fork whose process was killed. The caller holds the container. */
export function settleFork(containers: string, record: ContainerRecord): ContainerRecord {
  const { forking, ...settled } = record;
  if (forking === undefined) return record;
  const folder = `${containers}/${record.id}`;
  const done = isFolder(forking);
  if (done && !isFolder(`${folder}/upper`)) renewUpper(forking, `${folder}/upper`);
  const layers = (record.layers ?? []).filter((layer) => done || layer !== forking);
  const result = { ...settled, layers };
  writeRecord(folder, result);
  return result;
}

/** Turns the upper directory of a stopped container into a layer. */
function giveLayer(containers: string, record: ContainerRecord): ContainerRecord {
  const folder = `${containers}/${record.id}`, upper = `${folder}/upper`;
  if (namesIn(upper).length === 0) return record;
  const layer = newLayer(containers);
  const changed = { ...record, layers: [layer, ...record.layers ?? []] };
  // The record comes first: a layer may be missing, but is never without a record.
  writeRecord(folder, { ...changed, forking: layer });
  Deno.renameSync(upper, layer);
  renewUpper(layer, upper);
  writeRecord(folder, changed);
  return changed;
}

/** Syncs a directory's file system for reflinks, which need blocks on disk, before the container is frozen. */
async function syncForReflinks(folder: string): Promise<void> {
  using fd = new Fd(openAt(AT_FDCWD, folder, flags("O", "RDONLY", "DIRECTORY")));
  if (mayShareBlocks(fd.number)) await syncLater(fd.number);
}

/** Copies the upper directory of a running container into a layer. */
async function copyLayer(containers: string, record: ContainerRecord): Promise<ContainerRecord> {
  const layer = newLayer(containers), upper = `${containers}/${record.id}/upper`;
  await syncForReflinks(upper);
  await whileFrozen(containers, record, () => cloneTree(upper, layer));
  return { ...record, layers: [layer, ...record.layers ?? []] };
}

/** Snapshot of a container's files, whose layers are kept until it is released. */
export interface Snapshot {
  /** The container, with the layers of the fork. */
  readonly record: ContainerRecord;
  /** Releases the layers; call it when a record names them. */
  readonly release: () => void;
}

/**
 * Creates an immutable layer of the changes of a container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `container-busy` while it is starting;
 * `container-thawed` if it is stopped meanwhile.
 * @throws {CgroupError} if a running one cannot be frozen.
 */
export async function snapshot(containers: string, query: string): Promise<Snapshot> {
  const found = findContainer(containers, query), { id } = found;
  const release = holdLayers(containers);
  try {
    const liveness = readOwnership(containers, id), status = statusOf(found, liveness);
    requireVisibleOwner(containers, id, liveness);
    if (status === "running") return { record: await copyLayer(containers, found), release };
    if (liveness && status !== "exited") {
      throw busy("fork", id, "it is being started");
    }
    return { record: await withOfflineContainer(containers, id, (record) => giveLayer(containers, record)), release };
  } catch (error) {
    release();
    throw error;
  }
}

function settingsOf({ command, options }: ContainerRecord): ImageSettings {
  const { env = {}, cwd, user, labels } = options;
  return {
    Cmd: command,
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...(cwd === undefined ? {} : { WorkingDir: cwd }),
    ...(user === undefined ? {} : { User: user }),
    ...(labels === undefined ? {} : { Labels: labels }),
  };
}

/**
 * Resolves the image `container:NAME`: the current files of a container, with its command, environment, working
 * directory, user and labels. Throws as {@linkcode snapshot}.
 */
export async function resolveFork(containers: string, query: string): Promise<Image> {
  const { record, release } = await snapshot(containers, query);
  const { image, imageDigest, layers = [], line = record.created } = record;
  return {
    name: image,
    kind: "container",
    lower: lowerOf(record),
    layers,
    line,
    ...(imageDigest === undefined ? {} : { digest: imageDigest }),
    settings: settingsOf(record),
    release,
  };
}

/** Options that two containers cannot share. */
const OWN = ["publish", "publishAll", "containerAddress", "hostname", "networkAliases"] as const;

function given(options: object): Record<string, unknown> {
  const isGiven = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(options).filter(([, value]) => isGiven(value)));
}

/** Returns the options of a container's fork: `options`, and the container's own where they are not given. */
export function forkOptions<Options extends ContainerOptions>(
  containers: string,
  query: string,
  options: Options,
): Options {
  const inherited: ContainerOptions = { ...findContainer(containers, query).options };
  for (const name of OWN) delete inherited[name];
  const limits = { ...inherited.limits, ...given(options.limits ?? {}) };
  return { ...options, ...inherited, ...given(options), limits };
}
