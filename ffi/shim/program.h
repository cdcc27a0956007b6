// The layout of an encoded program; its writer is ../encode.ts. All words are little-endian.
#ifndef SAUROPOD_PROGRAM_H
#define SAUROPOD_PROGRAM_H

#include <stdint.h>

enum { MAGIC = 0x50525353, NONE = 0xffff, MAX_IGNORED = 4, MAX_ARGUMENTS = 6 };
enum actor { CALLER = 0, CONTAINER = 1 };
enum argument_kind { IMMEDIATE = 0, POINTER = 1, REGISTER = 2, REGISTER_POINTER = 3 };

// What is not a system call.
enum pseudo {
  STORE = 1 << 24,  // *(u64 *)a = b + c + (d << 32)
  EXPECT,           // fail with errno d unless (*(u64 *)a & b) == c
  DEFAULT_SIGNALS,  // every signal's disposition is the default one
  DROP_BOUNDING,    // prctl(PR_CAPBSET_DROP) for each bit of a; what the kernel does not know is dropped already
  NETLINK,          // send c bytes of messages at b to the socket a; their answers go to d, which has e bytes
  GO_ON_IN_CHILD,   // clone with flags a; the parent reports the child on descriptor b and leaves, or, if b is negative, passes
                    // on how it ends
  REMOVE_TREE,      // remove the folder b of folder a and all that is in it
  REMOVE_GROUP,     // remove the control group at a and those below it
  RUN,              // for sauropod_call only: run the program at a
  APPEND,           // for sauropod_call only: append the b bytes at a to each of the files whose paths are the d bytes at c
  DIVERT,           // for sauropod_call only: signal a is another one from now on
  OPEN_TARGET,      // open what the path a leads to, with O_PATH, and create what is missing, in the end what mode b says
};

struct step {
  uint32_t call;  // a system call's number, or a pseudo
  uint16_t save;  // the register that keeps the result, or NONE
  uint16_t when;  // run only if this register is not negative, or NONE
  uint16_t ignored[MAX_IGNORED];  // errnos that are no failure
  uint8_t kinds[MAX_ARGUMENTS];
  uint8_t actor;
  uint8_t reserved;
  uint64_t arguments[MAX_ARGUMENTS];
};

struct program {
  uint32_t magic;
  uint32_t turn;  // the step whose actor may go on; 0 when the container has executed its command or died
  uint32_t failed_step;
  uint32_t failed_errno;  // 0: nothing failed
  uint32_t step_count, steps;            // count, offset
  uint32_t register_count, registers;    // count, offset
  uint32_t relocation_count, relocations;  // count, offset: words that hold offsets and want addresses
};

// Whether this process has executed the shim, instead of loading it as a library: what /proc/self/exe leads to. Only then can
// a program execute what an image names.
extern int is_executable __attribute__((visibility("hidden")));

// Runs the steps of a whole program, the caller's in this process, the container's in the one that its clone3 starts.
int run_program(struct program *);
// Runs the container's steps in this process; returns only on failure.
int run_here(struct program *);

#endif
