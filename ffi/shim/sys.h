// System calls for freestanding code: inline, without libc or errno. They return -errno on failure.
#ifndef SAUROPOD_SYS_H
#define SAUROPOD_SYS_H

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/time.h>
#include <stddef.h>
#include <stdint.h>

static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return x0;
#else
#error "x86_64 and aarch64 only"
#endif
}

// Calls clone3(args, size). The child starts in entry(argument), on the stack given in args, and never returns.
static inline long clone3_onto(void *args, size_t size, void (*entry)(void *), void *argument) {
#if defined(__x86_64__)
  long result;
  register void *r12 __asm__("r12") = (void *)entry;
  register void *r13 __asm__("r13") = argument;
  __asm__ volatile("syscall\n\t"
                   "test %%rax, %%rax\n\t"
                   "jnz 1f\n\t"
                   "xor %%ebp, %%ebp\n\t"
                   "mov %%r13, %%rdi\n\t"
                   "call *%%r12\n\t"
                   "ud2\n"
                   "1:"
                   : "=a"(result)
                   : "a"(__NR_clone3), "D"(args), "S"(size), "r"(r12), "r"(r13)
                   : "rcx", "r11", "memory");
  return result;
#else
  register long x8 __asm__("x8") = __NR_clone3;
  register long x0 __asm__("x0") = (long)args;
  register long x1 __asm__("x1") = (long)size;
  register void *x20 __asm__("x20") = (void *)entry;
  register void *x21 __asm__("x21") = argument;
  __asm__ volatile("svc 0\n\t"
                   "cbnz x0, 1f\n\t"
                   "mov x29, #0\n\t"
                   "mov x0, x21\n\t"
                   "blr x20\n\t"
                   "brk #0\n"
                   "1:"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x20), "r"(x21)
                   : "memory", "cc");
  return x0;
#endif
}

#define SYS(nr, a, b, c, d, e, f) \
  syscall6(__NR_##nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS1(nr, a) SYS(nr, a, 0, 0, 0, 0, 0)
#define SYS2(nr, a, b) SYS(nr, a, b, 0, 0, 0, 0)
#define SYS3(nr, a, b, c) SYS(nr, a, b, c, 0, 0, 0)
#define SYS4(nr, a, b, c, d) SYS(nr, a, b, c, d, 0, 0)
#define SYS5(nr, a, b, c, d, e) SYS(nr, a, b, c, d, e, 0)

enum {
  MAX_ERRNO = 4095,
  SIGNAL_SET_SIZE = sizeof(uint64_t),  // of the kernel's sigset_t
  SHIM_FAILED = 125,                   // exit status, as of docker-run(1): the command has not been executed
  SIGNALLED = 128,                     // exit status after a signal, less the signal's number
  FIRST_OTHER_FD = 3,                  // after standard input, output and error
};

static const uint64_t ALL_SIGNALS = ~0ULL;

// Tells whether a system call that returns an address has failed.
static inline int is_error(long result) { return result < 0 && result >= -MAX_ERRNO; }

_Noreturn static inline void leave(int status) {
  for (;;) SYS1(exit_group, status);
}

// Converts the status of wait4(2) to an exit status as a shell has it: 128 plus the signal's number after a signal.
static inline int exit_status(int status) {
  int signal = status & 0x7f;
  return signal ? SIGNALLED + signal : status >> 8 & 0xff;
}

// Moves an open file to another descriptor, close-on-exec. Returns that descriptor or -errno; `from` is closed anyway.
static inline int move_descriptor(int from, int to) {
  if (from < 0 || from == to) return from;
  int moved = (int)SYS3(dup3, from, to, O_CLOEXEC);
  SYS1(close, from);
  return moved;
}

static inline int64_t monotonic_ms(void) {
  struct {
    int64_t seconds, nanoseconds;
  } now;
  SYS2(clock_gettime, CLOCK_MONOTONIC, &now);
  return now.seconds * 1000 + now.nanoseconds / 1000000;
}

static inline int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

#endif
