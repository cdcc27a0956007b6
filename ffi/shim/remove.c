// Removing folders with all that is in them, however deep: a folder that is full is emptied into the topmost one first.
#include "remove.h"

#include <linux/fcntl.h>
#include <linux/time_types.h>

#include "sys.h"
#include "text.h"

enum { ENTRIES = 4096, MOST_PASSES = 1 << 20, HOW = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
enum { GROUP_ENTRIES = 1024, MOST_GROUPS_DEEP = 16, GROUP_TRIES = 200, GROUP_PAUSE = 5000000, FOLDER = 4 };

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

// Once: all groups below, then the group itself.
static long remove_groups(int parent, const char *name, int levels) {
  long result = SYS3(unlinkat, parent, name, AT_REMOVEDIR);
  if (result != -EBUSY || !levels) return result;
  int group = (int)SYS4(openat, parent, name, HOW, 0);
  if (group < 0) return group;
  char entries[GROUP_ENTRIES] __attribute__((aligned(8)));
  for (long length; (length = SYS3(getdents64, group, entries, GROUP_ENTRIES)) > 0;)
    for (long at = 0; at < length; at += ((struct entry *)(entries + at))->size) {
      const struct entry *e = (struct entry *)(entries + at);
      if (e->type == FOLDER && !is_dot(e->name)) remove_groups(group, e->name, levels - 1);
    }
  SYS1(close, group);
  return SYS3(unlinkat, parent, name, AT_REMOVEDIR);
}

long remove_group(const char *path) {
  struct __kernel_timespec pause = {0, GROUP_PAUSE};
  long result = 0;
  // Who was just joining is still on its way out.
  for (int i = 0; i < GROUP_TRIES; i++) {
    result = remove_groups(AT_FDCWD, path, MOST_GROUPS_DEEP);
    if (result != -EBUSY) break;
    SYS2(nanosleep, &pause, 0);
  }
  return result;
}
