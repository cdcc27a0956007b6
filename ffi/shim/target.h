// Opening what something is mounted on.
#ifndef SAUROPOD_TARGET_H
#define SAUROPOD_TARGET_H

// Opens what `path` leads to below the root of this process, with O_PATH, and creates what is missing of it: directories,
// and in the end what `mode` says, a directory or a regular file. Symbolic links are followed as their text says, also to
// what is missing. Returns a descriptor or -errno.
long open_target(const char *path, long mode);

#endif
