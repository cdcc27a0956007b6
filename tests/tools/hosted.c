// Hosted build of the shim: its sources with libc, AddressSanitizer and UndefinedBehaviorSanitizer, behind pipes. Each request on
// standard input is answered on standard output; a report of a sanitizer ends the process. Executed with the name of one of the
// shim's modes, it is that mode.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "health.h"
#include "load.h"
#include "modes.h"
#include "record.h"
#include "shim.h"
#include "validate.h"

enum request { RUN_PROGRAM, VALIDATE_PROGRAM, LOAD_MEMFD, LOAD_PIPE, VALIDATE_JOB, WRITE_RECORDS };

struct head {
  int32_t kind;  // enum request; in an answer the result
  uint32_t size;
};

static void transfer(int fd, void *bytes, size_t size, int out) {
  for (char *at = bytes; size > 0;) {
    ssize_t n = out ? write(fd, at, size) : read(fd, at, size);
    if (n <= 0) _exit(0);
    at += n, size -= (size_t)n;
  }
}

// Reads all that the interpreter may read of a valid program itself: out of bounds is the sanitizer's to report.
static int touch(const struct program *p) {
  const char *base = (const char *)p;
  volatile uint64_t sum = 0;
  const struct step *steps = (const void *)(base + p->steps);
  const int64_t *registers = (const void *)(base + p->registers);
  const uint32_t *relocations = (const void *)(base + p->relocations);
  for (uint32_t i = 0; i < p->relocation_count; i++) sum += *(const uint64_t *)(base + relocations[i]);
  for (uint32_t i = 0; i < p->register_count; i++) sum += (uint64_t)registers[i];
  for (uint32_t i = 0; i < p->step_count; i++) {
    const struct step *s = &steps[i];
    if (s->save != NONE) sum += (uint64_t)registers[s->save];
    if (s->when != NONE) sum += (uint64_t)registers[s->when];
    for (int k = 0; k < MAX_ARGUMENTS; k++)
      if (s->kinds[k] == REGISTER || s->kinds[k] == REGISTER_POINTER) sum += (uint64_t)registers[s->arguments[k]];
  }
  return 1;
}

static int load(int fd) {
  struct program *p = load_program(fd, 0);
  close(fd);
  return p ? touch(p) : 0;
}

static int load_memfd(char *bytes, uint32_t size) {
  int fd = memfd_create("program", MFD_CLOEXEC);
  transfer(fd, bytes, size, 1);
  return load(fd);
}

static int load_pipe(char *bytes, uint32_t size) {
  int ends[2];
  if (pipe(ends)) return -1;
  pid_t writer = fork();
  if (writer == 0) {
    close(ends[0]);
    transfer(ends[1], bytes, size, 1);
    _exit(0);
  }
  close(ends[1]);
  return load(ends[0]);
}

static int validate_job(char *bytes, uint32_t size) {
  struct job *job = (struct job *)bytes;
  if (size < sizeof *job || !is_valid_job(job)) return 0;
  const struct {
    uint32_t offset;
    const struct registers *names;
  } programs[] = {{job->first, &job->of_first}, {job->again, &job->of_again}, {job->end, NULL}, {job->health, NULL}};
  for (int i = 0; i < 4; i++) {
    if (!programs[i].offset) continue;
    struct program *p = program_of_job(bytes, size, programs[i].offset, programs[i].names);
    if (!p || !touch(p)) return 0;
  }
  return 1;
}

// Writes all records of a job with the longest of all values.
static int write_records(char *bytes) {
  struct record r;
  struct job *job = (struct job *)bytes;
  long error = record_open(&r, job);
  if (error) return (int)error;
  r.sequence = r.restarts = UINT64_MAX - 16;
  error = record_start(&r, getpid());
  record_failure(&r, -133);
  record_health(&r, "starting", 0);
  record_health(&r, "unhealthy", UINT64_MAX);
  record_end(&r, &(struct ending){.code = 255, .signal = 127, .oom = 1}, 1);
  record_close(&r, 1);
  return (int)error;
}

static int serve(int kind, char *bytes, uint32_t size) {
  switch (kind) {
    case RUN_PROGRAM: return sauropod_call((struct numbers){.nr = RUN, .a = (int)size}, bytes, NULL);
    case VALIDATE_PROGRAM: return is_valid_program((struct program *)bytes, size) && touch((struct program *)bytes);
    case LOAD_MEMFD: return load_memfd(bytes, size);
    case LOAD_PIPE: return load_pipe(bytes, size);
    case VALIDATE_JOB: return validate_job(bytes, size);
    case WRITE_RECORDS: return write_records(bytes);
    default: _exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) {
    is_executable = 1;
    run_mode(argc, argv);
  }
  for (;;) {
    struct head head;
    transfer(STDIN_FILENO, &head, sizeof head, 0);
    // Memory of just that size: what lies behind is poisoned.
    char *bytes = malloc(head.size);
    transfer(STDIN_FILENO, bytes, head.size, 0);
    head.kind = serve(head.kind, bytes, head.size);
    transfer(STDOUT_FILENO, &head, sizeof head, 1);
    transfer(STDOUT_FILENO, bytes, head.size, 1);
    free(bytes);
  }
}
