// Forwarding of a signal as another one, so that Deno's own handler does not run.
#include <linux/signal.h>

#include "divert.h"
#include "sys.h"

static void pass_on(int signal) {
  (void)signal;
  SYS2(kill, SYS1(getpid, 0), SIGSTKFLT);
}

#if defined(__x86_64__)
// Other architectures have sigreturn(2) in their vdso.
__attribute__((visibility("hidden"))) void return_from_handler(void);
__asm__("return_from_handler:\n\tmov $15, %eax\n\tsyscall\n");
_Static_assert(__NR_rt_sigreturn == 15, "the number above");
#define RESTORER SA_RESTORER
#else
#define RESTORER 0
#define return_from_handler 0
#endif

long divert_signal(int signal) {
  struct sigaction action = {
      .sa_handler = pass_on, .sa_flags = SA_RESTART | SA_ONSTACK | RESTORER, .sa_restorer = return_from_handler};
  return SYS4(rt_sigaction, signal, &action, 0, SIGNAL_SET_SIZE);
}
