// Records of a detached container: ownership marks in .live, the file `state`, events.
#include "record.h"

#include <linux/fs.h>
#include <linux/stat.h>

#include "sys.h"
#include "text.h"

// The records fit into their buffers with the longest of all values: tests/ffi/sanitizer_test.ts writes them.
enum { STATE_SIZE = 512, EVENT_SIZE = ATTRIBUTES_SIZE + 256, MARK_SIZE = 96, MODE = S_IRUSR | S_IWUSR };
enum { STAT_SIZE = 1024, START_TIME = 22, FIRST_BEHIND_NAME = 3 };  // fields of proc_pid_stat(5)

// Returns the start time of a process in clock ticks; 0 if there is none.
static uint64_t start_time(uint64_t pid) {
  char text[STAT_SIZE];
  struct text path = {text, text + sizeof text - 1};
  put(&path, "/proc/"), put_number(&path, pid), put(&path, "/stat");
  *path.at = 0;
  int fd = (int)SYS4(openat, AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0);
  long length = fd < 0 ? 0 : SYS3(read, fd, text, sizeof text);
  if (fd >= 0) SYS1(close, fd);
  long at = length - 1;
  while (at >= 0 && text[at] != ')') at--;
  if (at < 0) return 0;
  for (int field = FIRST_BEHIND_NAME - 1; at < length && field < START_TIME; at++) field += text[at] == ' ';
  uint64_t time = 0;
  for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) time = time * 10 + (uint64_t)(text[at] - '0');
  return time;
}

static int hexadecimal(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

// Locks the container's byte in the file of claims until the monitor exits: see lib/container/state/owner_locks.ts.
static long claim(const struct job *job) {
  struct flock byte = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
  for (const char *c = job->id; *c; c++) byte.l_start = byte.l_start * 16 + hexadecimal(*c);
  int fd = (int)SYS4(openat, job->live, "../.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, MODE);
  fd = move_descriptor(fd, job->base + CLAIM_PLACE);
  return fd < 0 ? fd : SYS3(fcntl, fd, F_OFD_SETLK, &byte);
}

// Writes a mark: a symbolic link whose target identifies a process.
static long mark(const struct record *r, uint64_t pid, const char *suffix) {
  char target[MARK_SIZE], name[MARK_SIZE], temporary[MARK_SIZE];
  struct text t = {target, target + sizeof target - 1}, n = {name, name + sizeof name - 1};
  struct text u = {temporary, temporary + sizeof temporary - 1};
  put(&t, r->job->origin), put(&t, " "), put_number(&t, pid), put(&t, "."), put_number(&t, start_time(pid));
  put(&n, r->job->id), put(&n, suffix);
  put(&u, "."), put(&u, r->job->id), put(&u, suffix);
  *t.at = *n.at = *u.at = 0;
  SYS3(unlinkat, r->job->live, temporary, 0);
  long error = SYS3(symlinkat, target, r->job->live, temporary);
  return error ? error : SYS5(renameat2, r->job->live, temporary, r->job->live, name, 0);
}

// Tells whether the mark is still the claimant's. If that has died, another command may be removing the container.
static int is_claimed(const struct job *job) {
  char expected[MARK_SIZE], found[MARK_SIZE] = "";
  struct text t = {expected, expected + sizeof expected - 1};
  put(&t, job->origin), put(&t, " "), put_number(&t, job->claimant), put(&t, ".");
  *t.at = 0;
  SYS4(readlinkat, job->live, job->id, found, sizeof found);
  for (const char *e = expected, *f = found; *e; e++, f++)
    if (*e != *f) return 0;
  return 1;
}

static void member(struct text *t, const char *name, uint64_t value) { put(t, name), put_number(t, value); }

// Overwrites the file in place, so that it needs no space on the disk. Its reader compares the sequence numbers at both ends.
static void write_state(struct record *r) {
  char state[STATE_SIZE];
  struct text t = {state, state + STATE_SIZE - 1};
  r->sequence++;
  member(&t, "{\"sequence\":", r->sequence);
  put(&t, ",\"status\":\""), put(&t, r->status);
  member(&t, "\",\"restarts\":", r->restarts);
  put(&t, ",\"startedAt\":\""), put(&t, r->started), put(&t, "\"");
  if (r->finished[0]) {
    put(&t, ",\"finishedAt\":\""), put(&t, r->finished);
    member(&t, "\",\"code\":", (uint64_t)r->ending.code);
    if (r->ending.signal) member(&t, ",\"signal\":", (uint64_t)r->ending.signal);
    if (r->ending.oom) put(&t, ",\"oomKilled\":true");
  }
  if (r->health[0]) {
    put(&t, ",\"health\":\""), put(&t, r->health);
    member(&t, "\",\"failures\":", r->failures);
  }
  member(&t, ",\"end\":", r->sequence);
  put(&t, "}");
  while (t.at < t.end) *t.at++ = ' ';
  *t.at = '\n';
  int fd = (int)SYS4(openat, r->job->directory, "state", O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return;
  SYS4(pwrite64, fd, state, STATE_SIZE, 0);
  SYS1(close, fd);
}

static void stamp(char *time) {
  struct text t = {time, time + TIME_SIZE - 1};
  put_time(&t);
  *t.at = 0;
}

static struct text begin_event(const struct record *r, char *line, char *end, const char *action) {
  struct text t = {line, end};
  put(&t, "{\"time\":\""), put_time(&t), put(&t, "\",\"action\":\""), put(&t, action);
  put(&t, "\",\"id\":\""), put(&t, r->job->id), put(&t, "\""), put(&t, r->job->attributes);
  return t;
}

static void end_event(const struct record *r, struct text *t, const char *line) {
  put(t, "}\n");
  int how = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  int fd = (int)SYS4(openat, r->job->directory, "../.events", how, MODE);
  if (fd < 0) return;
  SYS3(write, fd, line, t->at - line);
  SYS1(close, fd);
}

static void event(const struct record *r, const char *action) {
  char line[EVENT_SIZE];
  struct text t = begin_event(r, line, line + sizeof line, action);
  end_event(r, &t, line);
}

long record_open(struct record *r, const struct job *job) {
  *r = (struct record){.job = job, .status = "created", .health = ""};
  // Marks are replaced only under this lock.
  SYS2(flock, job->live, LOCK_EX);
  long error = is_claimed(job) ? claim(job) : -ESRCH;
  if (!error) error = mark(r, (uint64_t)SYS1(getpid, 0), "");
  SYS2(flock, job->live, LOCK_UN);
  return error;
}

long record_start(struct record *r, int64_t pid) {
  r->pid = (uint64_t)pid;
  long error = mark(r, r->pid, ".process");
  if (error) return error;
  r->status = "running";
  stamp(r->started);
  write_state(r);
  event(r, "start");
  return 0;
}

void record_failure(struct record *r, long error) {
  char line[EVENT_SIZE];
  write_state(r);
  struct text t = begin_event(r, line, line + sizeof line, "start_failed");
  member(&t, ",\"errno\":", (uint64_t)-error);
  end_event(r, &t, line);
}

void record_end(struct record *r, const struct ending *ending, int again) {
  char line[EVENT_SIZE];
  r->ending = *ending;
  r->status = again ? "restarting" : "exited";
  stamp(r->finished);
  write_state(r);
  if (ending->oom) event(r, "oom");
  struct text t = begin_event(r, line, line + sizeof line, "die");
  member(&t, ",\"exitCode\":", (uint64_t)ending->code);
  if (ending->signal) member(&t, ",\"signal\":", (uint64_t)ending->signal);
  end_event(r, &t, line);
}

void record_health(struct record *r, const char *health, uint64_t failures) {
  int changed = !same(r->health, health);
  r->health = health;
  r->failures = failures;
  write_state(r);
  if (!changed) return;
  char line[EVENT_SIZE];
  struct text t = begin_event(r, line, line + sizeof line, "health_status");
  put(&t, ",\"health\":\""), put(&t, health), put(&t, "\"");
  end_event(r, &t, line);
}

void record_close(struct record *r, int removed) {
  if (!same(r->status, "exited")) {
    r->status = "exited";
    write_state(r);
  }
  if (removed) event(r, "destroy");
}
