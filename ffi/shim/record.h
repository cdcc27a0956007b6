// What a monitor leaves for others to read: marks of who lives, the file `state`, and events.
#ifndef SAUROPOD_RECORD_H
#define SAUROPOD_RECORD_H

#include <stdint.h>

#include "job.h"

enum { TIME_SIZE = 32 };

struct ending {
  int code;    // 128 plus the signal's number after a signal
  int signal;  // 0: none
  int oom;     // the kernel killed a process of it for lack of memory
};

struct record {
  const struct job *job;
  const char *status, *health;  // health: empty if nobody asks for it
  uint64_t sequence, pid, restarts, failures;
  char started[TIME_SIZE], finished[TIME_SIZE];
  struct ending ending;
};

// Marks the container as ours; an error if it is not the claimant's any more, or there is no room for the mark.
long record_open(struct record *, const struct job *);
// Also an error if there is no room for the mark: nobody could find the process then.
long record_start(struct record *, int64_t pid);
// A start that has failed, of a container that is to be started again.
void record_failure(struct record *, long error);
void record_end(struct record *, const struct ending *, int again);
void record_health(struct record *, const char *health, uint64_t failures);
// The last word: it will not be started again, and may be about to be removed.
void record_close(struct record *, int removed);

#endif
