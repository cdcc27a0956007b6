/**
 * Forks: containers whose files are those of another one, copy-on-write.
 *
 * What a container that does not run has changed becomes a layer below it and its fork, in constant time. Of one that
 * runs the changes are copied while it is frozen: its overlay goes on writing to its upper folder, which therefore cannot
 * be shared. Where the file system can share blocks (XFS, Btrfs) no data are copied.
 *
 * @module
 */

import { isFolder } from "../../../ffi/fs/paths.ts";
import { mayShareBlocks } from "../../../ffi/fs/filesystems.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, chmodAt, chownAt, close, openAt, syncLater } from "../../../ffi/fs/fs.ts";
import type { Image } from "../../image/resolve.ts";
import type { ImageSettings } from "../../oci.ts";
import { cloneTree } from "./clone_tree.ts";
import { holdLayers, newLayer } from "../state/fork_layers.ts";
import { findContainer } from "../state/names.ts";
import type { ContainerOptions } from "../spec/options.ts";
import { whileFrozen } from "../state/freeze.ts";
import { type ContainerRecord, lowerOf, statusOf, writeRecord } from "../state/record.ts";
import { withOfflineContainer } from "../state/offline_lock.ts";
import { namesIn, readOwnership } from "../state/ownership.ts";
import { busy, requireVisibleOwner } from "../state/errors.ts";

/** Makes an upper folder like the one that was there: its mode and owner are those of the container's root. */
function renewUpper(layer: string, upper: string): void {
  const { mode, uid, gid } = Deno.statSync(layer);
  Deno.mkdirSync(upper, { mode: 0o755 });
  chownAt(AT_FDCWD, upper, uid ?? 0, gid ?? 0);
  chmodAt(AT_FDCWD, upper, (mode ?? 0o755) & 0o7777);
}

/** Finishes, or takes back, a fork whose process was killed; for whoever holds the container's folder. */
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

/** Makes a layer of all that a container has changed which does not run. */
function giveLayer(containers: string, record: ContainerRecord): ContainerRecord {
  const folder = `${containers}/${record.id}`, upper = `${folder}/upper`;
  if (namesIn(upper).length === 0) return record;
  const layer = newLayer(containers);
  const changed = { ...record, layers: [layer, ...record.layers ?? []] };
  // The record comes first: what it names is there, or is found out not to be, but is never forgotten.
  writeRecord(folder, { ...changed, forking: layer });
  Deno.renameSync(upper, layer);
  renewUpper(layer, upper);
  writeRecord(folder, changed);
  return changed;
}

/** Blocks can be shared when they are on disk: most are written before the container is frozen for that. */
async function writeDown(folder: string): Promise<void> {
  const fd = openAt(AT_FDCWD, folder, flags("O", "RDONLY", "DIRECTORY"));
  try {
    if (mayShareBlocks(fd)) await syncLater(fd);
  } finally {
    close(fd);
  }
}

/** Makes a layer of a copy of what a container that runs has changed up to now. */
async function copyLayer(containers: string, record: ContainerRecord): Promise<ContainerRecord> {
  const layer = newLayer(containers), upper = `${containers}/${record.id}/upper`;
  await writeDown(upper);
  await whileFrozen(containers, record, () => cloneTree(upper, layer));
  return { ...record, layers: [layer, ...record.layers ?? []] };
}

/** What a container consists of when it is forked, and until when its layers are kept from being taken away. */
export interface Snapshot {
  /** The container, with the layers that its fork is to have. */
  readonly record: ContainerRecord;
  /** To be called when a record names the layers. */
  readonly release: () => void;
}

/**
 * Makes what a container has changed up to now a layer that nobody changes any more.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `container-busy` if it is just being started;
 * `container-thawed` if it is stopped meanwhile.
 * @throws {CgroupError} if one that runs cannot be frozen.
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
 * The image `container:NAME`: the files of a container, as they are now, with its command, environment, directory, user
 * and labels.
 *
 * @throws whatever {@linkcode snapshot} throws.
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

/** Of which two containers cannot have the same. */
const OWN = ["publish", "publishAll", "containerAddress", "hostname", "networkAliases"] as const;

/** The options of a container's fork: its own, under those that are given, but for what only one can have. */
export function forkOptions<Options extends ContainerOptions>(
  containers: string,
  query: string,
  options: Options,
): Options {
  const inherited: ContainerOptions = { ...findContainer(containers, query).options };
  for (const name of OWN) delete inherited[name];
  const given = Object.entries(options).filter(([, value]) =>
    value !== undefined && !(Array.isArray(value) && value.length === 0)
  );
  const limits = { ...inherited.limits, ...options.limits };
  return { ...inherited, ...options, ...Object.fromEntries(given), limits };
}
