/**
 * Mounting a file system where the image cannot lead it astray.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { flags } from "../../ffi/flags.ts";
import { type Program, register, step } from "../../ffi/program.ts";

/** Mounts a file system on a folder right below the root, which must be a folder and no symbolic link. */
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
    step(`open ${path}, which must be a folder`, call.open(path, flags("O", "PATH", "DIRECTORY", "NOFOLLOW")), {
      save: opened,
    }),
    step(`go to ${path}`, call.fchdir(register(opened))),
    step(label, call.mount(source, ".", type, how, data)),
    step("go back to the root", call.chdir("/")),
  ];
}
