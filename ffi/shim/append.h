// Appending the same lines to many files.
#ifndef SAUROPOD_APPEND_H
#define SAUROPOD_APPEND_H

// Appends `size` bytes of whole lines to each file of `paths`, which has `length` bytes, each path with its NUL. Files
// that cannot be opened are left out, and symbolic links. Returns how many were written whole.
long append_to_each(const char *paths, long length, const char *lines, long size);

#endif
