// Health checks of a detached container.
#ifndef SAUROPOD_HEALTH_H
#define SAUROPOD_HEALTH_H

#include "job.h"
#include "record.h"

struct health {
  const struct job *job;
  int file;         // the job's, which holds the program of the check
  long checking;    // pid of the running check; 0: none
  int64_t due;      // time of the next check, or deadline of the running one: monotonic milliseconds
  int64_t started;  // start time of the container
  uint64_t failures;  // in a row
};

void health_open(struct health *, const struct job *, int file);
// Begins the checks of a container that has just been started.
void health_begin(struct health *, struct record *);
// Returns the milliseconds until health_check has something to do; negative: forever.
long health_pause(const struct health *);
// Starts a check that is due, and records the result of one that has ended or taken too long.
void health_check(struct health *, struct record *);
// Kills a running check.
void health_end(struct health *);

#endif
