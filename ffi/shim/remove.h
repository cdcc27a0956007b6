// Removing folders with all that is in them.
#ifndef SAUROPOD_REMOVE_H
#define SAUROPOD_REMOVE_H

// Removes the folder `name` of the folder `parent`; 0 or -errno. A missing one is fine.
long remove_tree(int parent, const char *name);
// Removes a control group and those below it; -EBUSY if processes in them do not go away for a second.
long remove_group(const char *path);

#endif
