// Sauropod's shim: one freestanding ELF that is a library (loaded by ffi/shim.ts) and a program (see modes.h).
#include "modes.h"
#include "program.h"
#include "sys.h"

#define EXPORT __attribute__((visibility("default")))

// A system call for each shape of arguments that TypeScript needs: i is an integer, b a buffer.
EXPORT int sauropod_i(int nr, int a, int b, int c, int d, int e, int f) { return (int)syscall6(nr, a, b, c, d, e, f); }

EXPORT int sauropod_b(int nr, void *a, int b, int c) { return (int)syscall6(nr, (long)a, b, c, 0, 0, 0); }

EXPORT int sauropod_ib(int nr, int a, void *b, int c, int d, int e) {
  return (int)syscall6(nr, a, (long)b, c, d, e, 0);
}

EXPORT int sauropod_iib(int nr, int a, int b, void *c, int d, int e) {
  return (int)syscall6(nr, a, b, (long)c, d, e, 0);
}

EXPORT int sauropod_iiib(int nr, int a, int b, int c, void *d) {
  return (int)syscall6(nr, a, b, c, (long)d, 0, 0);
}

EXPORT int sauropod_ibb(int nr, int a, void *b, void *c, int d, int e) {
  return (int)syscall6(nr, a, (long)b, (long)c, d, e, 0);
}

EXPORT int sauropod_bib(int nr, void *a, int b, void *c) { return (int)syscall6(nr, (long)a, b, (long)c, 0, 0, 0); }

EXPORT int sauropod_ibib(int nr, int a, void *b, int c, void *d, int e) {
  return (int)syscall6(nr, a, (long)b, c, (long)d, e, 0);
}

EXPORT int sauropod_ibiib(int nr, int a, void *b, int c, int d, void *e) {
  return (int)syscall6(nr, a, (long)b, c, d, (long)e, 0);
}

EXPORT int sauropod_run(struct program *program) { return run_program(program); }

// The compiler may ask for these.
void *memcpy(void *to, const void *from, size_t n) {
  char *t = to;
  for (const char *f = from; n--;) *t++ = *f++;
  return to;
}

void *memset(void *to, int byte, size_t n) {
  for (char *t = to; n--;) *t++ = (char)byte;
  return to;
}

static int number(const char *s) {
  int n = 0;
  while (*s >= '0' && *s <= '9') n = n * 10 + *s++ - '0';
  return n;
}

__attribute__((used)) static void enter(long *stack) {
  long argc = stack[0];
  char **argv = (char **)(stack + 1);
  if (argc == 3 && same(argv[0], "sauropod-init")) run_init(number(argv[1]), number(argv[2]));
  if (argc == 5 && same(argv[0], "sauropod-pump"))
    run_pump(number(argv[1]), number(argv[2]), number(argv[3]), number(argv[4]));
  leave(125);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall enter\n\tud2\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl enter\n\tbrk #0\n");
#endif
