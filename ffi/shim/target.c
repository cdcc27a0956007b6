// Mount points and working directories: opened, and created where missing. The path is resolved once, a component at a time,
// by descriptors: a process that shares a volume cannot redirect the rest, and magic links of /proc are only their text.
#include "target.h"

#include <linux/limits.h>
#include <linux/stat.h>

#include "sys.h"

enum { MAX_LINKS = 40, DIRECTORY_MODE = 0755, HOW = O_PATH | O_CLOEXEC };

static long open_root(void) { return SYS4(openat, AT_FDCWD, "/", HOW | O_DIRECTORY, 0); }

static size_t length_of(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

// Copies a string; the two may overlap if `to` is the earlier one.
static void copy(char *to, const char *from) {
  while ((*to++ = *from++)) {
  }
}

static char *skip_slashes(char *path) {
  while (*path == '/') path++;
  return path;
}

// Opens a component, and creates it if it is missing. -EEXIST means that another process has just created it.
static long open_component(long directory, const char *name, long mode) {
  long found = SYS4(openat, directory, name, HOW | O_NOFOLLOW, 0);
  if (found != -ENOENT) return found;
  long made = (mode & S_IFMT) == S_IFREG ? SYS4(mknodat, directory, name, mode, 0)
                                         : SYS3(mkdirat, directory, name, mode & ~S_IFMT);
  return made < 0 && made != -EEXIST ? made : SYS4(openat, directory, name, HOW | O_NOFOLLOW, 0);
}

// Writes the text of an open symbolic link and `rest`, the end of `path`, to `path`. Returns 0 if `link` is no symbolic link. Not
// inlined: its buffer would add to the frame of open_target for every component.
__attribute__((noinline)) static long read_link(long link, char *path, const char *rest) {
  char text[PATH_MAX];
  long length = SYS4(readlinkat, link, "", text, PATH_MAX);
  if (length == -ENOENT) return 0;
  if (length <= 0) return length < 0 ? length : -ENOENT;
  if (length + 1 + length_of(rest) >= PATH_MAX) return -ENAMETOOLONG;
  text[length] = '/';
  copy(text + length + 1, rest);
  copy(path, text);
  return length;
}

long open_target(const char *target, long mode) {
  char path[PATH_MAX], *at = path;
  if (length_of(target) >= PATH_MAX) return -ENAMETOOLONG;
  copy(path, target);
  long directory = open_root(), result = directory;
  for (int links = 0; result >= 0;) {
    char *name = skip_slashes(at), *end = name;
    if (!*name) return directory;
    while (*end && *end != '/') end++;
    char *rest = skip_slashes(end);
    *end = 0;
    long found = open_component(directory, name, *rest ? S_IFDIR | DIRECTORY_MODE : mode);
    result = found < 0 ? found : read_link(found, path, rest);
    if (result == 0) {
      SYS1(close, directory);
      directory = found, at = rest;
      continue;
    }
    if (found >= 0) SYS1(close, found);
    if (result > 0 && ++links > MAX_LINKS) result = -ELOOP;
    if (result < 0) break;
    at = path;
    if (*path != '/') continue;
    SYS1(close, directory);
    result = directory = open_root();
  }
  if (directory >= 0) SYS1(close, directory);
  return result;
}
