// Monitor of a detached container: starts it, writes its log, restarts it, records its exit status, removes its resources. It
// outlives the command that started it; the container does not outlive the monitor (PR_SET_PDEATHSIG).
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
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
#include "validate.h"

enum { BUFFER = 32768, READS = 8, PAGE = 4096, USED_STACK = 65536, OOM_TEXT = 512, BITS = 8 };
enum { QUIET_MS = 1000, FIRST_DELAY_MS = 100, MAX_DELAY_MS = 60000, STEADY_MS = 10000, MAX_FAILED_STARTS = 10 };
enum { OUT = 0, ERR = 1, GONE = 2, SIGNALS = 3, SOURCES = 4 };

struct monitor {
  struct job job;
  struct log log;
  struct record record;
  struct health health;
  int file;  // the job's
  int signals;
  int outputs[2];
  int stopping;  // has got SIGTERM: does not start the container again
  uint64_t oom_kills;
  int burst;  // pages of the buffer beyond the first have been used
};

static int pidfd_of(const struct monitor *m) { return m->job.base + PIDFD_PLACE; }
static int terminal_of(const struct monitor *m) { return m->job.base + TERMINAL_PLACE; }

static int has_terminal(const struct monitor *m) { return m->job.of_first.terminal != NONE; }

static void *map_job(const struct monitor *m, int sharing, long *size) {
  *size = SYS3(lseek, m->file, 0, SEEK_END);
  long address = SYS(mmap, 0, *size, PROT_READ | PROT_WRITE, sharing, m->file, 0);
  return is_error(address) ? NULL : (void *)address;
}

static long bytes_of_open(const struct monitor *m) { return m->job.base / BITS + 1; }

// Returns a bit for each descriptor below `base`: set if it is open. NULL if there is no memory.
static uint8_t *note_open(const struct monitor *m) {
  long room = SYS(mmap, 0, bytes_of_open(m), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (is_error(room)) return NULL;
  uint8_t *open = (uint8_t *)room;
  for (int fd = 0; fd < m->job.base; fd++)
    if (SYS2(fcntl, fd, F_GETFD) >= 0) open[fd / BITS] |= (uint8_t)(1 << fd % BITS);
  return open;
}

// Closes all descriptors but those in `open`, which it frees, and the monitor's own.
static void close_others(const struct monitor *m, uint8_t *open) {
  for (int fd = 0; fd < m->job.base; fd++)
    if (!(open[fd / BITS] >> fd % BITS & 1)) SYS1(close, fd);
  SYS3(close_range, m->job.base + PLACES, UINT32_MAX, 0);
  SYS2(munmap, open, bytes_of_open(m));
}

// Duplicates the descriptors of the container's process that `p` has left in its registers to the monitor's own.
static int64_t adopt_process(const struct monitor *m, const struct program *p, const struct registers *names) {
  const int64_t *registers = (const int64_t *)((const char *)p + p->registers);
  SYS3(dup3, registers[names->pidfd], pidfd_of(m), O_CLOEXEC);
  if (has_terminal(m)) SYS3(dup3, registers[names->terminal], terminal_of(m), O_CLOEXEC);
  return registers[names->pid];
}

// Runs a program of the job, and closes the descriptors that it has opened, except the monitor's own. If the program starts
// the container, `names` are its registers, and `pid` gets the process. The first program is run in the file itself, whose
// outcome the waiting command reads.
static int run(const struct monitor *m, uint32_t offset, const struct registers *names, int64_t *pid) {
  long size;
  char *job = map_job(m, offset == m->job.first ? MAP_SHARED : MAP_PRIVATE, &size);
  if (!job) return -ENOMEM;
  int error = -ENOMEM;
  struct program *p = program_of_job(job, (uint64_t)size, offset, names);
  uint8_t *open = p ? note_open(m) : NULL;
  if (open) {
    error = run_program(p);
    if (!error && names) *pid = adopt_process(m, p, names);
    close_others(m, open);
  }
  SYS2(munmap, job, size);
  return p ? error : -EINVAL;
}

// Returns the stacks that the programs have used to the kernel, here the one below this frame: many monitors are idle.
static void give_back_stack(void) {
  char here;
  long page = ((long)&here & ~(PAGE - 1L)) - PAGE;
  SYS3(madvise, page - USED_STACK, USED_STACK, MADV_DONTNEED);
  free_child_stack();
}

// Returns the number after "oom_kill " in memory.events (v2) or memory.oom_control (v1) of cgroups(7).
static uint64_t oom_kills(const struct monitor *m) {
  static const char name[] = "oom_kill ";
  char text[OOM_TEXT];
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

// Returns the pages that a burst of output has used to the kernel.
static void give_back_buffer(struct monitor *m) {
  long first = ((long)buffer + PAGE - 1) & -PAGE, last = ((long)buffer + BUFFER) & -PAGE;
  if (m->burst) SYS3(madvise, first, last - first, MADV_DONTNEED);
  m->burst = 0;
}

// Reads an output once into the log. Returns 0 if there is nothing to read now, or at its end.
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
  struct signalfd_siginfo info;
  while (SYS3(read, m->signals, &info, sizeof info) == sizeof info) m->stopping |= info.ssi_signo == SIGTERM;
}

static void wait_for(struct monitor *m, struct pollfd *fds, int count, long milliseconds) {
  struct __kernel_timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  SYS5(ppoll, fds, count, milliseconds < 0 ? 0 : &time, 0, SIGNAL_SET_SIZE);
  if (fds[count - 1].revents) take_signals(m);
}

// Serves outputs, signals and health checks until the container has ended and its output has been read.
static void serve(struct monitor *m) {
  for (;;) {
    struct pollfd fds[SOURCES] = {{m->outputs[OUT], POLLIN, 0},
                                  {m->outputs[ERR], POLLIN, 0},
                                  {pidfd_of(m), POLLIN, 0},
                                  {m->signals, POLLIN, 0}};
    long pause = health_pause(&m->health);
    wait_for(m, fds, SOURCES, m->burst && (pause < 0 || pause > QUIET_MS) ? QUIET_MS : pause);
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
  siginfo_t info = {0};
  SYS5(waitid, P_PIDFD, pidfd_of(m), &info, WEXITED, 0);
  int exited = info.si_code == CLD_EXITED, status = info.si_status;
  uint64_t kills = oom_kills(m), before = m->oom_kills;
  m->oom_kills = kills;
  return (struct ending){.code = exited ? status : SIGNALLED + status, .signal = exited ? 0 : status, .oom = kills > before};
}

static int has_restarts_left(const struct monitor *m) {
  return m->job.restart != ON_FAILURE || !m->job.max_restarts || m->record.restarts < m->job.max_restarts;
}

// Reads the restart policy again: `update` may have changed it, see setRestart in ../program/job.ts.
static void read_policy(struct monitor *m) {
  uint32_t policy[2];
  if (SYS4(pread64, m->file, policy, sizeof policy, offsetof(struct job, restart)) == sizeof policy)
    m->job.restart = policy[0], m->job.max_restarts = policy[1];
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

// Waits before the next start. Returns 0 if there is to be none.
static int rest(struct monitor *m, long delay) {
  for (int64_t end = monotonic_ms() + delay, now; !m->stopping && (now = monotonic_ms()) < end;) {
    struct pollfd signals = {m->signals, POLLIN, 0};
    wait_for(m, &signals, 1, end - now);
  }
  return !m->stopping;
}

// Starts the container again, retrying after failures. Returns 0 if it is to stay stopped, or cannot be started.
static int start_again(struct monitor *m, long *delay) {
  for (int failures = 0; failures < MAX_FAILED_STARTS && has_restarts_left(m); failures++) {
    int64_t pid;
    if (!rest(m, *delay)) return 0;
    read_policy(m);
    if (m->job.restart == NO) return 0;
    *delay = *delay * 2 > MAX_DELAY_MS ? MAX_DELAY_MS : *delay * 2;
    m->record.restarts++;
    long error = run(m, m->job.again, &m->job.of_again, &pid);
    if (!error && (error = record_start(&m->record, pid))) kill_container(m);
    if (error) {
      record_failure(&m->record, error);
      continue;
    }
    // `stop` sends SIGTERM first and then reads the mark: it may have read the previous one.
    take_signals(m);
    if (m->stopping) SYS4(pidfd_send_signal, pidfd_of(m), SIGKILL, 0, 0);
    return 1;
  }
  return 0;
}

static void supervise(struct monitor *m) {
  long delay = FIRST_DELAY_MS;
  for (;;) {
    int64_t begun = monotonic_ms();
    connect_outputs(m);
    health_begin(&m->health, &m->record);
    serve(m);
    health_end(&m->health);
    struct ending ending = reap(m);
    int again = wanted_again(m, &ending);
    record_end(&m->record, &ending, again);
    if (monotonic_ms() - begun > STEADY_MS) delay = FIRST_DELAY_MS;
    if (!again || !start_again(m, &delay)) return;
  }
}

// Leaves the session, directory, signals and standard streams of the command.
static void detach(struct monitor *m) {
  SYS1(setsid, 0);
  SYS1(chdir, "/");
  SYS4(rt_sigprocmask, SIG_SETMASK, &ALL_SIGNALS, 0, SIGNAL_SET_SIZE);
  for (int fd = 0; fd < FIRST_OTHER_FD; fd++) {
    SYS1(close, fd);
    SYS4(openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
  }
  int signals = (int)SYS4(signalfd4, -1, &ALL_SIGNALS, SIGNAL_SET_SIZE, O_NONBLOCK | O_CLOEXEC);
  m->signals = move_descriptor(signals, m->job.base + SIGNAL_PLACE);
  if (m->job.log_files) log_open(&m->log, m->job.directory, m->job.log_files, m->job.log_limit, m->job.base + LOG_PLACE);
}

void run_monitor(int file) {
  static struct monitor m;
  if (SYS4(pread64, file, &m.job, sizeof m.job, 0) != sizeof m.job || !is_valid_job(&m.job)) leave(SHIM_FAILED);
  // Its number was the lowest free one: perhaps one of the places.
  m.file = move_descriptor(file, m.job.base + JOB_PLACE);
  // The system reaps orphans.
  if (SYS(clone, SIGCHLD, 0, 0, 0, 0, 0)) leave(0);
  detach(&m);
  int64_t pid;
  if (record_open(&m.record, &m.job) || run(&m, m.job.first, &m.job.of_first, &pid)) leave(SHIM_FAILED);
  if (record_start(&m.record, pid)) kill_container(&m), leave(SHIM_FAILED);
  health_open(&m.health, &m.job, m.file);
  report_process(pid, m.job.report);
  SYS1(close, m.job.report);
  if (m.job.lock >= 0) SYS1(close, m.job.lock);
  give_back_stack();
  supervise(&m);
  record_close(&m.record, m.job.removes);
  if (m.job.end) run(&m, m.job.end, NULL, NULL);
  leave(0);
}
