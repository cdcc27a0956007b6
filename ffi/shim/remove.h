// Removing folders with all that is in them.
#ifndef SAUROPOD_REMOVE_H
#define SAUROPOD_REMOVE_H

// Removes the folder `name` of the folder `parent`; 0 or -errno. A missing one is fine.
long remove_tree(int parent, const char *name);

#endif
