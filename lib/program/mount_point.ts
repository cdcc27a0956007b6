/**
 * Mount steps that an image's symbolic links cannot redirect, and overlays of very many layers.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { type Flags, flags } from "../../ffi/program/flags.ts";
import { type Program, register, step } from "../../ffi/program/model.ts";

/** Mounts a file system on a directory right below the root, which must be a directory and no symbolic link. */
export function mountOnTop(
  type: string,
  path: string,
  how: ReturnType<typeof flags>,
  data?: string,
  source = type,
): Program {
  const label = `mount ${type} on ${path}`;
  const opened = `folder:${path}`;
  return [
    step(`make ${path}`, call.mkdir(path, 0o755), { ignore: ["EEXIST"] }),
    step(`open ${path}, which must be a directory`, call.open(path, flags("O", "PATH", "DIRECTORY", "NOFOLLOW")), {
      save: opened,
    }),
    step(`change to ${path}`, call.fchdir(register(opened))),
    step(label, call.mount(source, ".", type, how, data)),
    step("change to the root", call.chdir("/")),
  ];
}

/** The directories of an overlay beside its layers. */
interface Above {
  /** Whether `upper` and `work` of the container's directory are above them. */
  readonly upper: boolean;
  /** Whether writes need not reach the disk. */
  readonly volatile: boolean;
}

/**
 * Mounts an overlay of more layers than the options of mount(2) can name, on `folder`: fsconfig(2) takes one after the
 * other, from Linux 6.8 on. `names` are its lower directories, uppermost first, as seen from the working directory,
 * which is another one afterwards.
 */
export function mountManyLayers(folder: string, names: readonly string[], how: Flags, above: Above): Program {
  const overlay = register("overlay"), tree = register("overlay:mount");
  const set = (label: string, key: string, value: string | null) => step(label, call.fsconfig(overlay, key, value));
  // The attributes of mounts have the values of the flags of mount(2).
  const attributes = { ...how, text: how.text.replaceAll("MS_", "MOUNT_ATTR_") };
  return [
    step("open an overlay context", call.fsopen("overlay"), { save: overlay.register }),
    ...names.map((name) => set(`add the layer ${name}, by itself as Linux 6.8 can`, "lowerdir+", name)),
    step("change to the container's directory", call.chdir(folder)),
    ...(above.upper
      ? [
        set("add what the container changes", "upperdir", "upper"),
        set("and what it needs for that", "workdir", "work"),
      ]
      : []),
    ...(above.volatile ? [set("what is written need not reach the disk", "volatile", null)] : []),
    step("create the overlay", call.fsconfigCreate(overlay)),
    step("create a mount of the overlay", call.fsmount(overlay, attributes), { save: tree.register }),
    step("mount overlay on /", call.attach(tree, folder)),
  ];
}
