// The monitor of a detached container: starts it, writes its log, restarts it, keeps how it ended, takes away what must
// not stay. It outlives the command that started it; the container does not outlive it (PR_SET_PDEATHSIG).
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#include "health.h"
#include "job.h"
#include "load.h"
#include "log.h"
#include "modes.h"
#include "program.h"
#include "record.h"
#include "sys.h"

enum { SIGNAL_SET_SIZE = 8, BUFFER = 32768, SEEK_TO_END = 2, STANDARD_STREAMS = 3, READS = 8, PAGE = 4096, QUIET = 1000 };
enum { FIRST_DELAY = 100, LONGEST_DELAY = 60000, STEADY = 10000, MOST_FAILED_STARTS = 10 };
enum { MOST_GIVEN = 1024, USED_STACK = 65536 };
enum { OUT = 0, ERR = 1, GONE = 2, SIGNALS = 3, SOURCES = 4 };

struct monitor {
  struct job job;
  struct log log;
  struct record record;
  struct health health;
  int file;  // the job's
  int signals;
  int outputs[2];
  int stopping;  // asked not to start it again
  uint64_t oom_kills;
  int burst;  // the buffer has been used beyond its first page
};

static int pidfd_of(const struct monitor *m) { return m->job.base + PIDFD_PLACE; }
static int terminal_of(const struct monitor *m) { return m->job.base + TERMINAL_PLACE; }

static int has_terminal(const struct monitor *m) { return m->job.of_first.terminal != NONE; }

static void *map_job(const struct monitor *m, int sharing, long *size) {
  *size = SYS3(lseek, m->file, 0, SEEK_TO_END);
  long address = SYS(mmap, 0, *size, PROT_READ | PROT_WRITE, sharing, m->file, 0);
  return address < 0 && address > -4096 ? NULL : (void *)address;
}

static int is_open(int fd) { return SYS2(fcntl, fd, F_GETFD) >= 0; }

// Runs a program of the job's; what its steps have opened is closed, but for what we keep in our places. The first is
// left as it ended, for the command that waits to read.
static int run(struct monitor *m, uint32_t offset, int64_t *pid) {
  uint8_t before[MOST_GIVEN] = {0};
  long size;
  for (int fd = 0; fd < m->job.base && fd < MOST_GIVEN; fd++) before[fd] = (uint8_t)is_open(fd);
  char *job = map_job(m, offset == m->job.first ? MAP_SHARED : MAP_PRIVATE, &size);
  if (!job) return -ENOMEM;
  struct program *p = (struct program *)(job + offset);
  const int64_t *registers = (const int64_t *)((char *)p + p->registers);
  int error = run_program(p);
  if (!error && pid) {
    const struct registers *names = offset == m->job.first ? &m->job.of_first : &m->job.of_again;
    *pid = registers[names->pid];
    SYS3(dup3, registers[names->pidfd], pidfd_of(m), O_CLOEXEC);
    if (has_terminal(m)) SYS3(dup3, registers[names->terminal], terminal_of(m), O_CLOEXEC);
  }
  SYS2(munmap, job, size);
  for (int fd = 0; fd < m->job.base && fd < MOST_GIVEN; fd++)
    if (!before[fd]) SYS1(close, fd);
  SYS3(close_range, m->job.base + PLACES, ~0U, 0);
  return error;
}

// Gives back the stack below us, of which the programs have used much. There are many monitors, and all are idle.
static void give_back_stack(void) {
  char here;
  long page = ((long)&here & ~(PAGE - 1L)) - PAGE;
  SYS3(madvise, page - USED_STACK, USED_STACK, MADV_DONTNEED);
}

static uint64_t oom_kills(const struct monitor *m) {
  static const char name[] = "oom_kill ";
  char text[512];
  int fd = m->job.oom_file[0] ? (int)SYS4(openat, AT_FDCWD, m->job.oom_file, O_RDONLY | O_CLOEXEC, 0) : -1;
  long length = fd < 0 ? 0 : SYS3(read, fd, text, sizeof text - 1);
  if (fd >= 0) SYS1(close, fd);
  for (long i = 0, k = 0; i < length; i++) {
    k = text[i] == name[k] ? k + 1 : text[i] == name[0];
    if (name[k]) continue;
    uint64_t count = 0;
    for (i++; i < length && text[i] >= '0' && text[i] <= '9'; i++) count = count * 10 + (uint64_t)(text[i] - '0');
    return count;
  }
  return 0;
}

static char buffer[BUFFER];

// Gives back what a burst of output has used: there are many monitors, and most are idle.
static void give_back_buffer(struct monitor *m) {
  long first = ((long)buffer + PAGE - 1) & -PAGE, last = ((long)buffer + BUFFER) & -PAGE;
  if (m->burst) SYS3(madvise, first, last - first, MADV_DONTNEED);
  m->burst = 0;
}

// Reads once; 0 if there is nothing, or no more.
static long take(struct monitor *m, int which) {
  long n;
  do n = SYS3(read, m->outputs[which], buffer, BUFFER);
  while (n == -EINTR);
  if (n <= 0) {
    if (n != -EAGAIN) m->outputs[which] = -1;
    return 0;
  }
  m->burst |= n > PAGE;
  if (m->job.log_files) log_write(&m->log, which == OUT ? "stdout" : "stderr", buffer, n);
  return n;
}

static void take_signals(struct monitor *m) {
  uint32_t info[32];
  while (SYS3(read, m->signals, info, sizeof info) == sizeof info) m->stopping |= info[0] == SIGTERM;
}

static void wait_for(struct monitor *m, struct pollfd *fds, int count, long milliseconds) {
  struct __kernel_timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  SYS5(ppoll, fds, count, milliseconds < 0 ? 0 : &time, 0, SIGNAL_SET_SIZE);
  if (fds[count - 1].revents) take_signals(m);
}

// Until the container has ended and all that it wrote has been read.
static void serve(struct monitor *m) {
  for (;;) {
    struct pollfd fds[SOURCES] = {{m->outputs[OUT], POLLIN, 0},
                                  {m->outputs[ERR], POLLIN, 0},
                                  {pidfd_of(m), POLLIN, 0},
                                  {m->signals, POLLIN, 0}};
    long pause = health_pause(&m->health);
    wait_for(m, fds, SOURCES, m->burst && (pause < 0 || pause > QUIET) ? QUIET : pause);
    if (!fds[OUT].revents && !fds[ERR].revents) give_back_buffer(m);
    for (int which = OUT; which <= ERR; which++)
      for (int i = 0; fds[which].revents && i < READS && take(m, which) == BUFFER; i++) {
      }
    if (fds[GONE].revents) break;
    health_check(&m->health, &m->record);
  }
  for (int which = OUT; which <= ERR; which++)
    while (m->outputs[which] >= 0 && take(m, which) > 0) {
    }
}

static void connect_outputs(struct monitor *m) {
  m->outputs[OUT] = m->job.outputs[OUT], m->outputs[ERR] = m->job.outputs[ERR];
  if (has_terminal(m)) m->outputs[OUT] = terminal_of(m);
  for (int which = OUT; which <= ERR; which++)
    if (m->outputs[which] >= 0) SYS3(fcntl, m->outputs[which], F_SETFL, O_NONBLOCK);
}

static struct ending reap(struct monitor *m) {
  int info[32];
  SYS5(waitid, P_PIDFD, pidfd_of(m), info, WEXITED, 0);
  int exited = info[2] == 1, status = info[6];  // si_code: CLD_EXITED; si_status
  uint64_t kills = oom_kills(m), before = m->oom_kills;
  m->oom_kills = kills;
  return (struct ending){.code = exited ? status : 128 + status, .signal = exited ? 0 : status, .oom = kills > before};
}

static int has_restarts_left(const struct monitor *m) {
  return m->job.restart != ON_FAILURE || !m->job.most_restarts || m->record.restarts < m->job.most_restarts;
}

// The policy may have been changed meanwhile: see setRestart in ../job.ts.
static void read_policy(struct monitor *m) {
  struct job now;
  if (SYS4(pread64, m->file, &now, sizeof now, 0) == sizeof now)
    m->job.restart = now.restart, m->job.most_restarts = now.most_restarts;
}

static int wanted_again(struct monitor *m, const struct ending *ending) {
  read_policy(m);
  if (m->stopping || !m->job.again || m->job.restart == NO) return 0;
  if (m->job.restart == ALWAYS) return 1;
  return ending->code != 0 && has_restarts_left(m);
}

static void kill_container(struct monitor *m) {
  SYS4(pidfd_send_signal, pidfd_of(m), SIGKILL, 0, 0);
  reap(m);
}

static int64_t milliseconds(void) {
  int64_t now[2];
  SYS2(clock_gettime, 1, now);
  return now[0] * 1000 + now[1] / 1000000;
}

// Waits before the next start; false if there is to be none.
static int rest(struct monitor *m, long delay) {
  for (int64_t end = milliseconds() + delay, now; !m->stopping && (now = milliseconds()) < end;) {
    struct pollfd signals = {m->signals, POLLIN, 0};
    wait_for(m, &signals, 1, end - now);
  }
  return !m->stopping;
}

// Starts the container again, in spite of some failures; false if it has been asked not to, or cannot be started.
static int start_again(struct monitor *m, long *delay) {
  for (int failures = 0; failures < MOST_FAILED_STARTS && has_restarts_left(m); failures++) {
    int64_t pid;
    if (!rest(m, *delay)) return 0;
    read_policy(m);
    if (m->job.restart == NO) return 0;
    *delay = *delay * 2 > LONGEST_DELAY ? LONGEST_DELAY : *delay * 2;
    m->record.restarts++;
    long error = run(m, m->job.again, &pid);
    if (!error && (error = record_start(&m->record, pid))) kill_container(m);
    if (error) {
      record_failure(&m->record, error);
      continue;
    }
    // Whoever asks us to stop looks at the mark afterwards, and may have seen the one before.
    take_signals(m);
    if (m->stopping) SYS4(pidfd_send_signal, pidfd_of(m), SIGKILL, 0, 0);
    return 1;
  }
  return 0;
}

static void supervise(struct monitor *m) {
  long delay = FIRST_DELAY;
  for (;;) {
    int64_t begun = milliseconds();
    connect_outputs(m);
    health_begin(&m->health, &m->record);
    serve(m);
    health_end(&m->health);
    struct ending ending = reap(m);
    int again = wanted_again(m, &ending);
    record_end(&m->record, &ending, again);
    if (milliseconds() - begun > STEADY) delay = FIRST_DELAY;
    if (!again || !start_again(m, &delay)) return;
  }
}

// Only what the programs need stays of what the command had open.
static void stand_alone(struct monitor *m) {
  uint64_t all = ~0UL;
  SYS1(setsid, 0);
  SYS1(chdir, "/");
  SYS4(rt_sigprocmask, SIG_SETMASK, &all, 0, SIGNAL_SET_SIZE);
  for (int fd = 0; fd < STANDARD_STREAMS; fd++) {
    SYS1(close, fd);
    SYS4(openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
  }
  m->signals = move_descriptor((int)SYS4(signalfd4, -1, &all, SIGNAL_SET_SIZE, O_NONBLOCK | O_CLOEXEC), m->job.base + SIGNAL_PLACE);
  if (m->job.log_files) log_open(&m->log, m->job.folder, m->job.log_files, m->job.log_limit, m->job.base + LOG_PLACE);
}

void run_monitor(int file) {
  static struct monitor m;
  if (SYS4(pread64, file, &m.job, sizeof m.job, 0) != sizeof m.job || m.job.magic != JOB_MAGIC) leave(125);
  // Its number is whatever was free: perhaps one of our places.
  m.file = move_descriptor(file, m.job.base + JOB_PLACE);
  // An orphan is nobody's to reap but the system's.
  if (SYS(clone, SIGCHLD, 0, 0, 0, 0, 0)) leave(0);
  stand_alone(&m);
  int64_t pid;
  if (record_open(&m.record, &m.job) || run(&m, m.job.first, &pid)) leave(125);
  if (record_start(&m.record, pid)) kill_container(&m), leave(125);
  health_open(&m.health, &m.job, m.file);
  report_process(pid, m.job.report);
  SYS1(close, m.job.report);
  if (m.job.lock >= 0) SYS1(close, m.job.lock);
  give_back_stack();
  supervise(&m);
  record_close(&m.record, m.job.removes);
  if (m.job.end) run(&m, m.job.end, NULL);
  leave(0);
}
