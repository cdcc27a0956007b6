// Programs from memfds and pipes, and the report of a failed one.
#ifndef SAUROPOD_LOAD_H
#define SAUROPOD_LOAD_H

#include <stdint.h>

#include "program.h"

enum { MAX_REPORTED = 511 };
enum { PROCESS_REPORT = 0xffffffff };

// Reports are written whole: their size is PIPE_BUF, see pipe(7).
struct report {
  uint32_t step;   // PROCESS_REPORT: `error` is the pid of the process that goes on, and there are no registers
  uint32_t error;  // errno
  int64_t registers[MAX_REPORTED];
};

// Returns a private copy of the program at an offset of a memfd, or of the one that comes through a pipe until its end. NULL if
// it is invalid (see validate.h) or there is no memory for it.
struct program *load_program(int fd, uint64_t offset);
// Reports the pid of the process that goes on.
void report_process(int64_t pid, int report);
// Reports the failed step of a program, its errno and the registers.
void report_failure(const struct program *, int report);

#endif
