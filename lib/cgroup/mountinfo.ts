/** One line of `/proc/self/mountinfo`; see proc_pid_mountinfo(5). */
export interface Mount {
  /** Its id. */
  id: number;
  /** The id of the mount it is mounted on. */
  parent: number;
  /** The path within the file system that is its root; not `/` for a bind mount of a part. */
  root: string;
  /** Where it is mounted. */
  point: string;
  /** Options of this mount, such as `ro`. */
  options: readonly string[];
  /** The type of the file system. */
  type: string;
  /** Options of the file system; for cgroup v1 these name its controllers. */
  superOptions: readonly string[];
}

function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** Returns the mounts of a mountinfo text in its order. Lines that are not of its form are left out. */
export function parseMountinfo(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const [id, parent, , root, point, options] = fields;
    const [type, , superOptions] = fields.slice(separator + 1);
    if (separator < 0 || !root || !point || !options || !type || superOptions === undefined) return [];
    return [{
      id: Number(id),
      parent: Number(parent),
      root: unescape(root),
      point: unescape(point),
      options: options.split(","),
      type,
      superOptions: superOptions.split(","),
    }];
  });
}

/** Reports whether `path` is `folder` or below it. */
export function isWithin(path: string, folder: string): boolean {
  return folder === "/" || path === folder || path.startsWith(folder + "/");
}

/**
 * Returns the mounts that a path can reach: those that no other mount covers, at their own place or at a directory
 * above. The answer follows from parent ids; the order of lines only breaks ties.
 */
export function visibleMounts(mounts: readonly Mount[]): Mount[] {
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  const children = Map.groupBy(
    byId.values(),
    ({ id, parent }) => parent !== id && byId.has(parent) ? parent : undefined,
  );
  const walk = (mount: Mount): Mount[] => {
    const on = children.get(mount.id) ?? [];
    const cover = on.findLast((child) => child.point === mount.point);
    return cover ? walk(cover) : [mount, ...uncovered(on).flatMap(walk)];
  };
  return uncovered(children.get(undefined) ?? []).flatMap(walk);
}

/** Compares mounts with one parent: a mount at a directory hides those below it. */
function uncovered(siblings: readonly Mount[]): Mount[] {
  return siblings.filter((mount, i) =>
    !siblings.some((other, j) => other.point === mount.point ? j > i : isWithin(mount.point, other.point))
  );
}
