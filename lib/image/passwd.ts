import { ImageError, InputError } from "../errors.ts";
import { readImageFile } from "./image_file.ts";

export { readImageFile } from "./image_file.ts";

/** A user as an image knows it. */
export interface ImageUser {
  /** User id. */
  uid: number;
  /** Primary group id. */
  gid: number;
  /** Supplementary group ids; empty if the group was given. */
  groups: number[];
  /** Home directory, absolute. `/` for a user that the image does not know. */
  home: string;
  /** The name, if the image knows the user. */
  name?: string;
}

const PASSWD = "/etc/passwd", GROUP = "/etc/group";
const MAX_ID = 2 ** 32 - 2;
// NGROUPS_MAX, setgroups(2).
const MAX_GROUPS = 65536;

/** Returns the lines of a file as fields, without empty ones and comments. */
function table(lower: readonly string[], path: string): string[][] {
  const lines = (readImageFile(lower, path) ?? "").split("\n").map((line) => line.trim());
  return lines.filter((line) => line && !line.startsWith("#")).map((line) => line.split(":"));
}

function idOf(field: string | undefined): number | undefined {
  if (field === undefined || !/^\d{1,10}$/.test(field)) return undefined;
  const id = Number(field);
  return id <= MAX_ID ? id : undefined;
}

function unknown(kind: "user" | "group", name: string, spec: string): InputError {
  const file = kind === "user" ? PASSWD : GROUP;
  const numeric = /^\d+$/.test(name);
  const why = numeric ? `ids go from 0 to ${MAX_ID}` : `${file} of the image has no such name`;
  return new InputError(`unknown ${kind} ${JSON.stringify(name)}: ${why}`, {
    code: `unknown-${kind}`,
    facts: { [kind]: name, spec, file },
    hint: `Give a ${kind} of the image, or a number.`,
  });
}

function findGroup(lower: readonly string[], group: string, spec: string): number {
  const number = idOf(group);
  if (number !== undefined) return number;
  const found = table(lower, GROUP).find((fields) => fields[0] === group && idOf(fields[2]) !== undefined);
  const gid = /^\d+$/.test(group) ? undefined : idOf(found?.[2]);
  if (gid === undefined) throw unknown("group", group, spec);
  return gid;
}

function groupsOf(lower: readonly string[], name: string): number[] {
  const member = table(lower, GROUP).filter((fields) => fields[3]?.split(",").includes(name));
  const groups = [...new Set(member.map((fields) => idOf(fields[2])).filter((gid) => gid !== undefined))];
  if (groups.length <= MAX_GROUPS) return groups;
  throw new ImageError(`${GROUP} of the image puts ${name} into ${groups.length} groups; ${MAX_GROUPS} are possible`, {
    code: "image-file-unsafe",
    facts: { path: GROUP, groups: groups.length },
  });
}

/**
 * Finds a user in `/etc/passwd` and `/etc/group` of an image, by the rules of moby's `user.GetExecUser`: what is all
 * digits is an id and need not be known; the first matching line counts; a given group stands instead of the user's
 * own and the supplementary ones. Lines with a bad id are passed over.
 *
 * @param lower The directories of the image, absolute, uppermost first.
 * @param spec `USER` or `USER:GROUP`, each a name or an id from 0 to 2^32-2. An empty user is 0. Default: `0`.
 *
 * Throws {@linkcode InputError} `unknown-user` or `unknown-group`, and {@linkcode ImageError} `image-file-unsafe`.
 */
export function lookupUser(lower: readonly string[], spec = "0"): ImageUser {
  const [user, group] = spec.includes(":") ? splitOnce(spec) : [spec, ""];
  const wanted = user || "0";
  const digits = /^\d+$/.test(wanted);
  const id = idOf(wanted);
  if (digits && id === undefined) throw unknown("user", wanted, spec);
  const known = table(lower, PASSWD).find((fields) => {
    if (idOf(fields[2]) === undefined || idOf(fields[3]) === undefined) return false;
    return digits ? idOf(fields[2]) === id : fields[0] === wanted;
  });
  const uid = known ? idOf(known[2]) : id;
  if (uid === undefined) throw unknown("user", wanted, spec);
  const name = known?.[0] || undefined;
  return {
    uid,
    gid: group ? findGroup(lower, group, spec) : idOf(known?.[3]) ?? 0,
    groups: group || !name ? [] : groupsOf(lower, name),
    home: known?.[5]?.startsWith("/") ? known[5] : "/",
    ...(name && { name }),
  };
}

/**
 * Returns the ids of groups of an image, each given by its name or id.
 *
 * @param lower The directories of the image, absolute, uppermost first.
 *
 * Throws {@linkcode InputError} `unknown-group`, and {@linkcode ImageError} `image-file-unsafe`.
 */
export function lookupGroups(lower: readonly string[], groups: readonly string[]): number[] {
  return groups.map((group) => findGroup(lower, group, group));
}

function splitOnce(spec: string): [string, string] {
  const at = spec.indexOf(":");
  return [spec.slice(0, at), spec.slice(at + 1)];
}
