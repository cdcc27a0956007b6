// PID 1 of a container with --init: starts the command, forwards signals to it, reaps orphans.
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "load.h"
#include "modes.h"
#include "sys.h"

static long start_command(struct program *p, int report) {
  long pid = SYS(clone, SIGCHLD, 0, 0, 0, 0, 0);
  if (pid) return pid;
  run_here(p);
  report_failure(p, report);
  leave(SHIM_FAILED);
}

// Reaps all children that have ended. Exits with the command's exit status if it is among them.
static void reap(long command) {
  int status;
  long pid;
  while ((pid = SYS4(wait4, -1, &status, WNOHANG | __WALL, 0)) > 0)
    if (pid == command) leave(exit_status(status));
}

void run_init(int program, int report) {
  // Root in the container could take away our PR_SET_PDEATHSIG: now only with CAP_SYS_PTRACE. The command is dumpable again.
  SYS2(prctl, PR_SET_DUMPABLE, 0);
  SYS4(rt_sigprocmask, SIG_SETMASK, &ALL_SIGNALS, 0, SIGNAL_SET_SIZE);
  struct program *p = load_program(program, 0);
  if (!p) leave(SHIM_FAILED);
  SYS1(close, program);
  long command = start_command(p, report);
  if (command < 0) leave(SHIM_FAILED);
  SYS1(close, report);
  // Only the command keeps the standard streams: their readers get end-of-file when it ends.
  for (int fd = 0; fd < FIRST_OTHER_FD; fd++) SYS1(close, fd);
  for (;;) {
    reap(command);
    long signal = SYS4(rt_sigtimedwait, &ALL_SIGNALS, 0, 0, SIGNAL_SET_SIZE);
    if (signal > 0 && signal != SIGCHLD) SYS2(kill, command, signal);
  }
}
