// Sauropod's shim: one freestanding ELF that is a library (loaded by ../native.ts) and an executable (see modes.h).
#include "shim.h"

#include "append.h"
#include "divert.h"
#include "modes.h"
#include "program.h"
#include "remove.h"
#include "sys.h"
#include "validate.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int sauropod_call(struct numbers numbers, void *p, void *q) {
  int nr = numbers.nr, a = numbers.a, b = numbers.b, c = numbers.c, d = numbers.d;
  long x = (long)p, y = (long)q;
  if (nr == RUN) return is_valid_program(p, (uint32_t)a) ? run_program(p) : -EINVAL;
  if (nr == APPEND) return (int)append_to_each(p, a, q, b);
  if (nr == DIVERT) return (int)divert_signal(a);
  if (nr == REMOVE_TREE) return (int)remove_tree(a, p);
  switch (numbers.shape) {
    case I: return (int)syscall6(nr, a, b, c, d, 0, 0);
    case B: return (int)syscall6(nr, x, a, b, c, d, 0);
    case IB: return (int)syscall6(nr, a, x, b, c, d, 0);
    case IIB: return (int)syscall6(nr, a, b, x, c, d, 0);
    case IIIB: return (int)syscall6(nr, a, b, c, x, d, 0);
    case IBB: return (int)syscall6(nr, a, x, y, b, c, d);
    case BIB: return (int)syscall6(nr, x, a, y, b, c, d);
    case IBIB: return (int)syscall6(nr, a, x, b, y, c, d);
    case IBIIB: return (int)syscall6(nr, a, x, b, c, y, d);
    case BB: return (int)syscall6(nr, x, y, a, b, c, d);
    default: return -EINVAL;
  }
}

EXPORT int sauropod_wait(int nr, int shape, int a, int b, int c, int d, void *p, void *q) {
  return sauropod_call((struct numbers){nr, shape, a, b, c, d}, p, q);
}

static int number(const char *s) {
  int n = 0;
  while (*s >= '0' && *s <= '9') n = n * 10 + *s++ - '0';
  return n;
}

void run_mode(long argc, char **argv) {
  if (argc == 3 && same(argv[0], "sauropod-init")) run_init(number(argv[1]), number(argv[2]));
  if (argc == 3 && same(argv[0], "sauropod-join")) run_join(number(argv[1]), number(argv[2]));
  if (argc == 2 && same(argv[0], "sauropod-monitor")) run_monitor(number(argv[1]));
  if (argc == 5 && same(argv[0], "sauropod-pump"))
    run_pump(number(argv[1]), number(argv[2]), number(argv[3]), number(argv[4]));
  leave(SHIM_FAILED);
}
