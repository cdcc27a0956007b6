// Records of a detached container: ownership marks in .live, the file `state`, events.
#ifndef SAUROPOD_RECORD_H
#define SAUROPOD_RECORD_H

#include <stdint.h>

#include "job.h"

enum { TIME_SIZE = 32 };

struct ending {
  int code;    // exit status; 128 plus the signal's number after a signal
  int signal;  // 0: none
  int oom;     // set if the kernel has killed one of its processes for lack of memory
};

struct record {
  const struct job *job;
  const char *status, *health;  // health: empty without a health check
  uint64_t sequence, pid, restarts, failures;
  char started[TIME_SIZE], finished[TIME_SIZE];
  struct ending ending;
};

// Takes the container over from its claimant. Returns -errno if the claimant has lost it, or the mark cannot be written.
long record_open(struct record *, const struct job *);
// Records a start. Returns -errno if the mark of the process cannot be written: no command would find the process.
long record_start(struct record *, int64_t pid);
// Records a start that has failed, of a container that is to be started again.
void record_failure(struct record *, long error);
// Records the end of the container's process; `again` is set if it will be started again.
void record_end(struct record *, const struct ending *, int again);
// Records the state of the health check and the number of failures in a row.
void record_health(struct record *, const char *health, uint64_t failures);
// Records that the container will not be started again; `removed` is set if it is about to be removed.
void record_close(struct record *, int removed);

#endif
