// A process of a container with --init that lets PID 1 call prctl(PR_SET_PDEATHSIG, 0), so that it outlives its caller. It
// says "cleared" or "refused" and stays for a minute. x86_64.
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static int clear_in(int pid) {
  struct user_regs_struct before, registers;
  int state;
  if (ptrace(PTRACE_SEIZE, pid, 0, 0)) return 0;
  ptrace(PTRACE_INTERRUPT, pid, 0, 0);
  waitpid(pid, &state, __WALL);
  ptrace(PTRACE_GETREGS, pid, 0, &before);
  // The instruction before is the system call's in which it waits.
  registers = before;
  registers.rip = before.rip - 2, registers.rax = SYS_prctl, registers.orig_rax = -1;
  registers.rdi = PR_SET_PDEATHSIG, registers.rsi = 0;
  ptrace(PTRACE_SETREGS, pid, 0, &registers);
  ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
  waitpid(pid, &state, __WALL);
  ptrace(PTRACE_GETREGS, pid, 0, &registers);
  before.orig_rax = -1, before.rax = -4;
  ptrace(PTRACE_SETREGS, pid, 0, &before);
  ptrace(PTRACE_DETACH, pid, 0, 0);
  return registers.rax == 0;
}

int main(void) {
  signal(SIGHUP, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, 0);
  puts(clear_in(1) ? "cleared" : "refused");
  fflush(stdout);
  sleep(60);
  return 0;
}
