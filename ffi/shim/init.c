// PID 1 of a container with --init: starts the command, forwards signals to it, reaps every orphan.
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "load.h"
#include "modes.h"
#include "sys.h"

enum { SIGNAL_SET_SIZE = 8 };

static long start_command(struct program *p, int report) {
  long pid = SYS(clone, SIGCHLD, 0, 0, 0, 0, 0);
  if (pid) return pid;
  run_here(p);
  report_failure(p, report);
  leave(125);
}

static int exit_code(int status) {
  int signal = status & 0x7f;
  return signal ? 128 + signal : (status >> 8) & 0xff;
}

// Reaps all that have ended; leaves when the command is among them.
static void reap(long command) {
  int status;
  long pid;
  while ((pid = SYS4(wait4, -1, &status, WNOHANG | __WALL, 0)) > 0)
    if (pid == command) leave(exit_code(status));
}

void run_init(int program, int report) {
  uint64_t all = ~0UL;
  // Root in the container could make us outlive our caller: now only with CAP_SYS_PTRACE. The command is dumpable again.
  SYS2(prctl, PR_SET_DUMPABLE, 0);
  SYS4(rt_sigprocmask, SIG_SETMASK, &all, 0, SIGNAL_SET_SIZE);
  struct program *p = load_program(program, 0);
  if (!p) leave(125);
  SYS1(close, program);
  long command = start_command(p, report);
  if (command < 0) leave(125);
  SYS1(close, report);
  // Only the command keeps the standard streams: their end is its end.
  for (int fd = 0; fd < 3; fd++) SYS1(close, fd);
  for (;;) {
    reap(command);
    long signal = SYS4(rt_sigtimedwait, &all, 0, 0, SIGNAL_SET_SIZE);
    if (signal > 0 && signal != SIGCHLD) SYS2(kill, command, signal);
  }
}
