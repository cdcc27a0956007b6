import { AT_FDCWD, close, openAt, openIn, read, S_IF, statusAt } from "../../ffi/fs/fs.ts";
import { flags } from "../../ffi/program/flags.ts";
import { ImageError, messageOf } from "../errors.ts";
import { failedWith } from "../tar/tree.ts";

const MiB = 2 ** 20;

function openPath(root: number, path: string): number | undefined {
  try {
    return openIn(root, path, flags("O", "PATH"));
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR")) return undefined;
    throw unsafe(path, messageOf(error));
  }
}

function unsafe(path: string, why: string): ImageError {
  return new ImageError(`cannot read ${path} of the image: ${why}`, {
    code: "image-file-unsafe",
    facts: { path },
    hint: "do not use the image unless you trust its maker",
  });
}

function readOpened(pathFd: number, path: string, maxBytes: number): string | undefined {
  const { mode, rdev, size } = statusAt(pathFd);
  const type = mode & S_IF.MT;
  // A whiteout of overlayfs: removed in this layer.
  if (type === S_IF.CHR && rdev === "0:0") return undefined;
  if (type !== S_IF.REG) throw unsafe(path, "it is not a regular file");
  if (size > maxBytes) throw unsafe(path, `it has ${size} bytes, and at most ${maxBytes} are read`);
  const fd = openAt(AT_FDCWD, `/proc/self/fd/${pathFd}`, flags("O", "RDONLY", "NONBLOCK", "NOCTTY"));
  try {
    const bytes = new Uint8Array(size);
    let filled = 0;
    for (let n = 1; n > 0 && filled < size; filled += n) n = read(fd, bytes.subarray(filled));
    return new TextDecoder().decode(bytes.subarray(0, filled));
  } finally {
    close(fd);
  }
}

/**
 * Reads a text file of an image, whose contents may be hostile: symbolic links stay inside, and nothing but a regular file is
 * ever opened. Returns `undefined` if there is none.
 *
 * @param lower The directories of the image, absolute, uppermost first; the first that has the file counts.
 * @param path The file, absolute or not.
 * @param maxBytes The size above which it is refused. Default: 1 MiB.
 *
 * Throws {@linkcode ImageError} `image-file-unsafe` if it is something else or too large.
 */
export function readImageFile(lower: readonly string[], path: string, maxBytes = MiB): string | undefined {
  for (const folder of lower) {
    const root = openAt(AT_FDCWD, folder, flags("O", "PATH", "DIRECTORY"));
    try {
      const fd = openPath(root, path);
      if (fd === undefined) continue;
      try {
        return readOpened(fd, path, maxBytes);
      } finally {
        close(fd);
      }
    } finally {
      close(root);
    }
  }
  return undefined;
}
