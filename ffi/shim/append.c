// Appending lines to many files.
#include "append.h"

#include <linux/fs.h>

#include "sys.h"

enum { HOW = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

static int ends_in_line(int fd) {
  char last;
  return SYS3(lseek, fd, -1, SEEK_END) < 0 || SYS3(read, fd, &last, 1) != 1 || last == '\n';
}

long append_to_each(const char *paths, long length, const char *lines, long size) {
  long done = 0;
  for (const char *path = paths, *end = paths + length; path < end; path++) {
    int fd = (int)SYS4(openat, AT_FDCWD, path, HOW, 0);
    if (fd >= 0) {
      done += (ends_in_line(fd) || SYS3(write, fd, "\n", 1) == 1) && SYS3(write, fd, lines, size) == size;
      SYS1(close, fd);
    }
    while (*path) path++;
  }
  return done;
}
