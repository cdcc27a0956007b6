// What a monitor leaves for others to read: marks of who lives, the file `state`, and events.
#include "record.h"

#include <linux/fcntl.h>

#include "sys.h"
#include "text.h"

enum { STATE_SIZE = 512, MODE = 0600, START_TIME = 19, LOCK = 2, UNLOCK = 8, MARK_SIZE = 96, SET_LOCK = 37 };

// When a process started: field 22 of proc_pid_stat(5), the 19th after the one behind its name.
static uint64_t start_time(uint64_t pid) {
  char text[1024];
  struct text path = {text, text + sizeof text - 1};
  put(&path, "/proc/"), put_number(&path, pid), put(&path, "/stat");
  *path.at = 0;
  int fd = (int)SYS4(openat, AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0);
  long length = fd < 0 ? 0 : SYS3(read, fd, text, sizeof text);
  if (fd >= 0) SYS1(close, fd);
  long at = length - 1;
  while (at >= 0 && text[at] != ')') at--;
  if (at < 0) return 0;
  for (int blanks = 0; at < length && blanks <= START_TIME; at++) blanks += text[at] == ' ';
  uint64_t time = 0;
  for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) time = time * 10 + (uint64_t)(text[at] - '0');
  return time;
}

// Locks the container's byte of the file of claims, for as long as we live: see lib/container/state/claims.ts.
static long claim(const struct job *job) {
  struct {
    short type, whence;
    int64_t start, length;
    int pid;
  } byte = {.start = 0, .length = 1};
  for (const char *c = job->id; *c; c++) byte.start = byte.start * 16 + (*c <= '9' ? *c - '0' : *c - 'a' + 10);
  int fd = (int)SYS4(openat, job->live, "../.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, MODE);
  if (fd < 0) return fd;
  return SYS3(fcntl, move_descriptor(fd, job->base + CLAIM_PLACE), SET_LOCK, &byte);
}

// A link that says which process it is: see lib/container/state/record.ts.
static long mark(const struct record *r, uint64_t pid, const char *suffix) {
  char target[MARK_SIZE], name[64], temporary[64];
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

// Whether the mark is still the claimant's: if it has died, another command may be taking the container away.
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

// Written in place, so that it needs no room on the disk; the number at both ends tells a reader that it is whole.
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
  int fd = (int)SYS4(openat, r->job->folder, "state", O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
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
  int fd = (int)SYS4(openat, r->job->folder, "../.events", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, MODE);
  if (fd < 0) return;
  SYS3(write, fd, line, t->at - line);
  SYS1(close, fd);
}

static void event(const struct record *r, const char *action) {
  char line[ATTRIBUTES_SIZE + 256];
  struct text t = begin_event(r, line, line + sizeof line, action);
  end_event(r, &t, line);
}

long record_open(struct record *r, const struct job *job) {
  *r = (struct record){.job = job, .status = "created", .health = ""};
  // Marks are replaced only under this lock: see lib/container/state/ownership.ts.
  SYS2(flock, job->live, LOCK);
  long error = is_claimed(job) ? claim(job) : -ESRCH;
  if (!error) error = mark(r, (uint64_t)SYS1(getpid, 0), "");
  SYS2(flock, job->live, UNLOCK);
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
  char line[ATTRIBUTES_SIZE + 256];
  write_state(r);
  struct text t = begin_event(r, line, line + sizeof line, "start_failed");
  member(&t, ",\"errno\":", (uint64_t)-error);
  end_event(r, &t, line);
}

void record_end(struct record *r, const struct ending *ending, int again) {
  char line[ATTRIBUTES_SIZE + 256];
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
  char line[ATTRIBUTES_SIZE + 256];
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
