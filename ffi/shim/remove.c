// Recursive removal of directories and control groups. Depth is unlimited without recursion: entries of a subdirectory that are
// not empty themselves are moved up to the topmost directory first.
#include "remove.h"

#include <linux/fs.h>
#include <linux/time_types.h>

#include "sys.h"
#include "text.h"

enum { ENTRIES_SIZE = 4096, MAX_PASSES = 1 << 20, HOW = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
enum { GROUP_ENTRIES_SIZE = 512, MAX_GROUP_DEPTH = 16, GROUP_TRIES = 200, GROUP_PAUSE_NS = 5000000 };
enum { DT_DIR = 4 };  // readdir(3); no uapi header has it

// struct linux_dirent64 of getdents64(2); no uapi header has it.
struct entry {
  uint64_t inode, offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

static int is_dot(const char *name) { return same(name, ".") || same(name, ".."); }

static long remove_entry(int directory, const char *name) {
  long result = SYS3(unlinkat, directory, name, 0);
  if (result == -EISDIR || result == -EPERM) result = SYS3(unlinkat, directory, name, AT_REMOVEDIR);
  return result == -ENOENT ? 0 : result;
}

typedef long visit(int directory, const char *name, int top, uint64_t *moved);

// Calls `visit` for all entries and counts them in `seen`. Returns the first error, or 0.
static long visit_entries(int directory, visit *visit, int top, uint64_t *moved, uint64_t *seen) {
  char entries[ENTRIES_SIZE] __attribute__((aligned(8)));
  long length, error = 0;
  SYS3(lseek, directory, 0, SEEK_SET);
  while ((length = SYS3(getdents64, directory, entries, ENTRIES_SIZE)) > 0)
    for (long at = 0; at < length; at += ((struct entry *)(entries + at))->size) {
      const char *name = ((struct entry *)(entries + at))->name;
      if (is_dot(name)) continue;
      long result = visit(directory, name, top, moved);
      if (result < 0 && !error) error = result;
      ++*seen;
    }
  return length < 0 ? length : error;
}

static long move_up(int directory, const char *name, int top, uint64_t *moved) {
  long result = remove_entry(directory, name);
  if (result != -ENOTEMPTY) return result;
  char unused[32];
  do {
    struct text t = {unused, unused + sizeof unused - 1};
    put(&t, ".sauropod-"), put_number(&t, ++*moved);
    *t.at = 0;
    result = SYS5(renameat2, directory, name, top, unused, RENAME_NOREPLACE);
  } while (result == -EEXIST);
  return result;
}

static long empty(int directory, const char *name, int top, uint64_t *moved) {
  long result = remove_entry(directory, name);
  if (result != -ENOTEMPTY) return result;
  int child = (int)SYS4(openat, directory, name, HOW, 0);
  if (child < 0) return child;
  uint64_t seen = 0;
  result = visit_entries(child, move_up, top, moved, &seen);
  SYS1(close, child);
  return result < 0 ? result : remove_entry(directory, name);
}

long remove_tree(int parent, const char *name) {
  int top = (int)SYS4(openat, parent, name, HOW, 0);
  if (top < 0) return top == -ENOENT ? 0 : top;
  uint64_t moved = 0, seen;
  long error = 0;
  for (int pass = 0; pass < MAX_PASSES; pass++) {
    seen = 0;
    error = visit_entries(top, empty, top, &moved, &seen);
    if (!seen || (error && error != -ENOTEMPTY)) break;
  }
  SYS1(close, top);
  return error ? error : remove_entry(parent, name);
}

// Tries once to remove the groups below, and then the group itself.
static long remove_groups(int parent, const char *name, int levels) {
  long result = SYS3(unlinkat, parent, name, AT_REMOVEDIR);
  if (result != -EBUSY || !levels) return result;
  int group = (int)SYS4(openat, parent, name, HOW, 0);
  if (group < 0) return group;
  char entries[GROUP_ENTRIES_SIZE] __attribute__((aligned(8)));
  for (long length; (length = SYS3(getdents64, group, entries, GROUP_ENTRIES_SIZE)) > 0;)
    for (long at = 0; at < length; at += ((struct entry *)(entries + at))->size) {
      const struct entry *e = (struct entry *)(entries + at);
      if (e->type == DT_DIR && !is_dot(e->name)) remove_groups(group, e->name, levels - 1);
    }
  SYS1(close, group);
  return SYS3(unlinkat, parent, name, AT_REMOVEDIR);
}

long remove_group(const char *path) {
  struct __kernel_timespec pause = {0, GROUP_PAUSE_NS};
  long result = 0;
  // Processes that have been killed may still be exiting.
  for (int i = 0; i < GROUP_TRIES; i++) {
    result = remove_groups(AT_FDCWD, path, MAX_GROUP_DEPTH);
    if (result != -EBUSY) break;
    SYS2(nanosleep, &pause, 0);
  }
  return result;
}
