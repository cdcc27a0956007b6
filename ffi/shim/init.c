// PID 1 of a container with --init: starts the command, forwards signals to it, reaps every orphan.
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/wait.h>

#include "modes.h"
#include "program.h"
#include "sys.h"

enum { SIGNAL_SET_SIZE = 8, SEEK_TO_END = 2, PROT_READ_WRITE = 3, MAP_PRIVATE_FILE = 2 };

enum { MAX_REPORT = 4096 };  // PIPE_BUF: written whole

static struct program *map_program(int fd) {
  long size = SYS3(lseek, fd, 0, SEEK_TO_END);
  if (size <= 0) leave(125);
  long address = SYS(mmap, 0, size, PROT_READ_WRITE, MAP_PRIVATE_FILE, fd, 0);
  if (address < 0 && address > -4096) leave(125);
  SYS1(close, fd);
  return (struct program *)address;
}

static long start_command(struct program *p, int report) {
  long pid = SYS(clone, SIGCHLD, 0, 0, 0, 0, 0);
  if (pid) return pid;
  run_here(p);
  // The failed step, its error, and what the registers held then.
  struct {
    uint32_t step, error;
    int64_t registers[(MAX_REPORT - 8) / 8];
  } failure = {.step = p->failed_step, .error = p->failed_errno};
  const int64_t *registers = (const int64_t *)((const char *)p + p->registers);
  for (uint32_t i = 0; i < p->register_count && i < sizeof failure.registers / 8; i++)
    failure.registers[i] = registers[i];
  SYS3(write, report, &failure, sizeof failure);
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
  SYS4(rt_sigprocmask, SIG_SETMASK, &all, 0, SIGNAL_SET_SIZE);
  struct program *p = map_program(program);
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
