// Jobs of a monitor: the header of the memfd that it is given. Written by ../program/job.ts; sizes and offsets are those of layout.ts.
#ifndef SAUROPOD_JOB_H
#define SAUROPOD_JOB_H

#include <stdint.h>

enum { JOB_MAGIC = 0x4a525353, ID_SIZE = 16, ATTRIBUTES_SIZE = 1024, OOM_FILE_SIZE = 512, ORIGIN_SIZE = 48 };
// The monitor's own descriptors, counted from `base`. The programs use NETWORK_PLACE.
enum place { PIDFD_PLACE, TERMINAL_PLACE, NETWORK_PLACE, SIGNAL_PLACE, LOG_PLACE, JOB_PLACE, CLAIM_PLACE, PLACES };
enum restart { NO = 0, ON_FAILURE = 1, ALWAYS = 2 };

// Registers of a program that starts the container.
struct registers {
  uint32_t pid, pidfd;
  uint32_t terminal;  // NONE without one
};

struct job {
  uint32_t magic;
  uint32_t restart;       // an enum restart
  uint32_t max_restarts;  // 0: no limit
  uint32_t log_files;     // 0: no log
  uint32_t removes;       // set if `end` removes the container
  uint32_t claimant;      // pid of the process that owns the container until the monitor does
  uint64_t log_limit;     // bytes
  // Descriptors. All that the monitor is given are below `base`.
  int32_t directory;   // the container's
  int32_t live;        // the directory of ownership marks
  int32_t outputs[2];  // read ends of the container's standard output and error; -1: none
  int32_t report;      // gets the pid when the container runs; closed then, or when the monitor gives up; init may use it, too
  int32_t base;
  int32_t lock;  // closed with the report; -1: none
  // Programs: offsets in this file; 0: none.
  uint32_t first;   // creates the container
  uint32_t again;   // starts it again
  uint32_t end;     // removes its resources
  uint32_t health;  // runs the command of the health check
  struct registers of_first, of_again;
  uint32_t health_interval, health_timeout, health_start, health_retries;  // milliseconds; a number
  // Strings with their NULs.
  char origin[ORIGIN_SIZE];          // host, boot and namespaces of the monitor, as in marks
  char id[ID_SIZE];                  // the container's
  char attributes[ATTRIBUTES_SIZE];  // JSON members for its events, beginning with a comma
  char oom_file[OOM_FILE_SIZE];      // the file in which the kernel counts its out-of-memory kills; empty: none
};

#endif
