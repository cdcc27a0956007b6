// Appending lines to many files (hosts files of containers on a network).
#ifndef SAUROPOD_APPEND_H
#define SAUROPOD_APPEND_H

// Appends `size` bytes of complete lines to each file of `paths`: `length` bytes of paths, each with its NUL. Skips files that
// cannot be opened, and symbolic links. Returns the number of files that were written completely.
long append_to_each(const char *paths, long length, const char *lines, long size);

#endif
