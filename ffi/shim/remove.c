// Removing folders with all that is in them, however deep: a folder that is full is emptied into the topmost one first.
#include "remove.h"

#include <linux/fcntl.h>

#include "sys.h"
#include "text.h"

enum { ENTRIES = 4096, MOST_PASSES = 1 << 20, HOW = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

struct entry {
  uint64_t inode, offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

static int is_dot(const char *name) { return same(name, ".") || same(name, ".."); }

static long remove_entry(int folder, const char *name) {
  long result = SYS3(unlinkat, folder, name, 0);
  if (result == -EISDIR || result == -EPERM) result = SYS3(unlinkat, folder, name, AT_REMOVEDIR);
  return result == -ENOENT ? 0 : result;
}

typedef long visit(int folder, const char *name, int top, uint64_t *moved);

// Calls `visit` for all entries; the first error that it returns, or 0. `seen` counts them.
static long visit_entries(int folder, visit *visit, int top, uint64_t *moved, uint64_t *seen) {
  char entries[ENTRIES] __attribute__((aligned(8)));
  long length, error = 0;
  SYS3(lseek, folder, 0, 0);
  while ((length = SYS3(getdents64, folder, entries, ENTRIES)) > 0)
    for (long at = 0; at < length; at += ((struct entry *)(entries + at))->size) {
      const char *name = ((struct entry *)(entries + at))->name;
      if (is_dot(name)) continue;
      long result = visit(folder, name, top, moved);
      if (result < 0 && !error) error = result;
      ++*seen;
    }
  return length < 0 ? length : error;
}

static long move_up(int folder, const char *name, int top, uint64_t *moved) {
  long result = remove_entry(folder, name);
  if (result != -ENOTEMPTY) return result;
  char place[32];
  do {
    struct text t = {place, place + sizeof place - 1};
    put(&t, ".sauropod-"), put_number(&t, ++*moved);
    *t.at = 0;
    result = SYS5(renameat2, folder, name, top, place, 1);  // RENAME_NOREPLACE
  } while (result == -EEXIST);
  return result;
}

static long empty(int folder, const char *name, int top, uint64_t *moved) {
  long result = remove_entry(folder, name);
  if (result != -ENOTEMPTY) return result;
  int child = (int)SYS4(openat, folder, name, HOW, 0);
  if (child < 0) return child;
  uint64_t seen = 0;
  result = visit_entries(child, move_up, top, moved, &seen);
  SYS1(close, child);
  return result < 0 ? result : remove_entry(folder, name);
}

long remove_tree(int parent, const char *name) {
  int top = (int)SYS4(openat, parent, name, HOW, 0);
  if (top < 0) return top == -ENOENT ? 0 : top;
  uint64_t moved = 0, seen;
  long error = 0;
  for (int pass = 0; pass < MOST_PASSES; pass++) {
    seen = 0;
    error = visit_entries(top, empty, top, &moved, &seen);
    if (!seen || (error && error != -ENOTEMPTY)) break;
  }
  SYS1(close, top);
  return error ? error : remove_entry(parent, name);
}
