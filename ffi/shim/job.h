// What a monitor is to do: the beginning of the memory file that it is given. Its writer is ../job.ts.
#ifndef SAUROPOD_JOB_H
#define SAUROPOD_JOB_H

#include <stdint.h>

enum { JOB_MAGIC = 0x4a525353, ID_SIZE = 16, ATTRIBUTES_SIZE = 1024, OOM_FILE_SIZE = 256, ORIGIN_SIZE = 48 };
// Descriptors of the monitor's own, counted from `base`.
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
  uint32_t most_restarts;  // 0: any number
  uint32_t log_files;     // 0: no log
  uint32_t removes;       // whether `end` removes the container
  uint32_t claimant;      // the process whose the container is until it is the monitor's
  uint64_t log_limit;     // bytes
  // Descriptors. All that the monitor is given are below `base`; NETWORK_PLACE is for programs to use.
  int32_t folder;   // the container's
  int32_t live;     // the folder of marks
  int32_t outputs[2];  // what to read of its standard output and error; -1: nothing
  int32_t report;   // told when the container runs; closed then, or when the monitor gives up; init may use it, too
  int32_t base;
  int32_t lock;  // closed with the report; -1: none
  // Programs: offsets in this file; 0: none.
  uint32_t first;   // makes the container
  uint32_t again;   // starts it again
  uint32_t end;     // takes away what must not stay
  uint32_t health;  // runs the command that tells whether it is well
  struct registers of_first, of_again;
  uint32_t health_interval, health_timeout, health_start, health_retries;  // milliseconds; a number
  char origin[ORIGIN_SIZE];  // where we are, as marks have it: see lib/container/state/origin.ts
  char id[ID_SIZE];    // the container's
  char attributes[ATTRIBUTES_SIZE];  // JSON members for its events, beginning with a comma
  char oom_file[OOM_FILE_SIZE];      // where the kernel counts its out-of-memory kills; empty: nowhere
};

#endif
