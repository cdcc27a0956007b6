// Mount points and working directories: opened, and created where missing.
#ifndef SAUROPOD_TARGET_H
#define SAUROPOD_TARGET_H

// Opens `path` below the root of this process with O_PATH. Creates missing directories, and at its end a directory or regular
// file of `mode`. Symbolic links are followed by their text, also to missing files. Returns a descriptor or -errno.
long open_target(const char *path, long mode);

#endif
