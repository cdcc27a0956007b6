// Programs from memory files and pipes, and the word that goes back when one fails.
#ifndef SAUROPOD_LOAD_H
#define SAUROPOD_LOAD_H

#include <stdint.h>

#include "program.h"

// What a report begins with that names a process instead of a step.
enum { PROCESS_REPORT = 0xffffffff };

// A private copy of what stands behind an offset of a memory file, or of what comes through a pipe until its end: a program,
// and nothing before it. NULL if there is none, or no memory for it.
struct program *load_program(int fd, uint64_t offset);
// Writes which process goes on.
void report_process(int64_t pid, int report);
// Writes the failed step, its error, and what the registers held then.
void report_failure(const struct program *, int report);

#endif
