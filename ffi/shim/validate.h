// Validation of programs and jobs.
//
// Trust: programs and jobs are trusted. Sauropod's own TypeScript writes them, in this process or, for a shim that is
// executed, into a sealed memfd or a pipe that no container has open. A job's memfd is not sealed, since `update` changes its
// restart policy; whoever can open it by /proc/PID/fd may ptrace(2) the monitor as well. A program is a list of system calls
// and addresses: any that could do harm may also be needed. Only the form is validated, against accidents: a writer that was
// killed halfway, a wrong offset, a layout of another version. Afterwards all reads and writes of the interpreter itself stay
// in the buffer. Memory behind pointers that steps pass to system calls or pseudo-calls is trusted.
//
// Not trusted is what comes from containers and the host's files: output, names in directories and symbolic links, answers
// of netlink(7), text of /proc and cgroupfs. Each of its readers has a buffer of fixed size and checks the length.
#ifndef SAUROPOD_VALIDATE_H
#define SAUROPOD_VALIDATE_H

#include "job.h"
#include "program.h"

// Tells whether `size` bytes hold a complete program: its tables, and the registers, pointers and kinds of all steps.
int is_valid_program(const struct program *, uint64_t size);
// Tells whether a job's strings end and its descriptors and policy are possible.
int is_valid_job(const struct job *);
// Returns the program at an offset of a job's file, or NULL if it is invalid or lacks one of `names`.
struct program *program_of_job(char *file, uint64_t size, uint32_t offset, const struct registers *names);

#endif
