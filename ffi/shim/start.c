// Entry point of the executable, and the functions that compilers call on their own.
#include <stddef.h>

#include "modes.h"
#include "program.h"

void *memcpy(void *to, const void *from, size_t n) {
  char *t = to;
  for (const char *f = from; n--;) *t++ = *f++;
  return to;
}

void *memset(void *to, int byte, size_t n) {
  for (char *t = to; n--;) *t++ = (char)byte;
  return to;
}

__attribute__((used)) static void enter(long *stack) {
  is_executable = 1;
  run_mode(stack[0], (char **)(stack + 1));
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall enter\n\tud2\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl enter\n\tbrk #0\n");
#endif
