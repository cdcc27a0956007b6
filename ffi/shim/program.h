// Encoded programs: the layout that ../program/encode.ts writes, and the interpreter. Words are little-endian. Sizes, offsets and
// numbers are those of layout.ts: build.ts compiles an assertion for each.
#ifndef SAUROPOD_PROGRAM_H
#define SAUROPOD_PROGRAM_H

#include <stdint.h>

enum { MAGIC = 0x50525353, NONE = 0xffff, MAX_IGNORED = 4, MAX_ARGUMENTS = 6 };
enum actor { CALLER = 0, CONTAINER = 1 };
enum argument_kind { IMMEDIATE = 0, POINTER = 1, REGISTER = 2, REGISTER_POINTER = 3 };

// Calls that are no system calls. Their numbers begin above those of all architectures.
enum pseudo {
  STORE = 1 << 24,  // *(u64 *)a = b + c + (d << 32)
  EXPECT,           // fail with errno d unless (*(u64 *)a & b) == c
  DEFAULT_SIGNALS,  // reset every signal's disposition to SIG_DFL
  DROP_BOUNDING,    // prctl(PR_CAPBSET_DROP) for each bit of a; capabilities that the kernel does not know are dropped already
  NETLINK,          // send c bytes of messages at b to the socket a; answers go to d, which has e bytes
  GO_ON_IN_CHILD,   // clone with flags a; the parent reports the child on descriptor b and exits, or, if b is negative, exits
                    // with the child's exit status
  REMOVE_TREE,      // remove the directory b of the directory a with its contents
  REMOVE_GROUP,     // remove the control group at a with those below it
  RUN,              // only for sauropod_call: run the program at p, which has a bytes
  APPEND,           // only for sauropod_call: append the b bytes at q to each of the files whose paths are the a bytes at p
  DIVERT,           // only for sauropod_call: turn signal a into another one
  OPEN_TARGET,      // open the path a with O_PATH; create missing directories, and in the end a file of mode b
};

struct step {
  uint32_t call;                  // number of a system call, or an enum pseudo
  uint16_t save;                  // register for the result, or NONE
  uint16_t when;                  // run only if this register is not negative, or NONE
  uint16_t ignored[MAX_IGNORED];  // errnos that are no failure
  uint8_t kinds[MAX_ARGUMENTS];   // enum argument_kind
  uint8_t actor;                  // enum actor
  uint8_t reserved;
  uint64_t arguments[MAX_ARGUMENTS];
};

struct program {
  uint32_t magic;
  uint32_t turn;  // the step whose actor may go on; 0 when the container has executed its command or died
  uint32_t failed_step;
  uint32_t failed_errno;                   // 0: no step has failed
  uint32_t step_count, steps;              // count, offset
  uint32_t register_count, registers;      // count, offset
  uint32_t relocation_count, relocations;  // count, offset: offsets of the words to which the program's address is added
};

// Set if this process has executed the shim (/proc/self/exe leads to it) instead of loading it as a library. Only then may
// a program execute files of an image.
extern int is_executable __attribute__((visibility("hidden")));

// Runs the caller's steps of a valid program in this process, the container's in the child of its clone3. Returns 0 or -errno.
int run_program(struct program *);
// Returns the memory of the child's stack to the kernel, for processes that will be idle.
void free_child_stack(void);
// Runs the container's steps of a valid program in this process. Returns only on failure, or if none executes a file.
int run_here(struct program *);

#endif
