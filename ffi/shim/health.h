// Asks a container now and then whether it is well.
#ifndef SAUROPOD_HEALTH_H
#define SAUROPOD_HEALTH_H

#include "job.h"
#include "record.h"

struct health {
  const struct job *job;
  int file;      // the job's; the program that asks is in it
  long asking;   // the process that asks; 0: none does
  int64_t due;   // when to ask next, or when to give up waiting for the answer; monotonic milliseconds
  int64_t start;  // when the container was started
  uint64_t failures;
};

void health_open(struct health *, const struct job *, int file);
void health_begin(struct health *, struct record *);
// How long nothing is to be done, in milliseconds; negative: for ever.
long health_pause(const struct health *);
void health_check(struct health *, struct record *);
void health_end(struct health *);

#endif
