// Recursive removal of directories and control groups.
#ifndef SAUROPOD_REMOVE_H
#define SAUROPOD_REMOVE_H

// Removes the directory `name` in the directory `parent` with its contents. Returns 0, also if it is missing, or -errno.
long remove_tree(int parent, const char *name);
// Removes a control group with those below it. Returns 0 or -errno: -EBUSY if there are still processes in them after a second.
long remove_group(const char *path);

#endif
