// Interpreter of encoded programs: runs the steps in order, each in the process that it names.
#include "program.h"

#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "load.h"
#include "remove.h"
#include "sys.h"
#include "target.h"

// The stack of the child, which shares this process's memory. A guard page below it turns an overflow into a SIGSEGV in the child.
// Guard and stack have the size of the largest page of aarch64; `room` is not aligned itself, which would enlarge the file.
// build.ts bounds the frame of each function; the deepest chain of calls (remove_group) needs 11 KiB.
enum { GUARD_SIZE = 65536 };
#ifdef __SANITIZE_ADDRESS__
enum { STACK_SIZE = 1 << 20 };
void __asan_unpoison_memory_region(void const volatile *, size_t);
#else
enum { STACK_SIZE = 65536 };
#endif
static char room[GUARD_SIZE + GUARD_SIZE + STACK_SIZE];

enum { SIGNALS = 64, BITS = 64 };
enum { ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

// Variables between large buffers would each take a page of an idle monitor; the one of .data is used anyway.
#define IN_DATA __attribute__((section(".data")))

int is_executable IN_DATA;
static int in_use IN_DATA;  // the stack, by the child of some thread

// The container's process until it has executed its command; lives in run_program's frame.
struct child {
  struct program *program;
  uint32_t first;  // step
  long pid;
};

static void *at(struct program *p, uint64_t offset) { return (char *)p + offset; }
static struct step *step_at(struct program *p, uint32_t i) { return (struct step *)at(p, p->steps) + i; }
static int64_t *register_at(struct program *p, uint32_t i) { return (int64_t *)at(p, p->registers) + i; }

static void relocate(struct program *p) {
  uint32_t *words = at(p, p->relocations);
  for (uint32_t i = 0; i < p->relocation_count; i++) *(uint64_t *)at(p, words[i]) += (uint64_t)p;
  p->relocation_count = 0;
}

// Waits for the turn of step i, or until the container's process has executed its command or died. Returns 0 if a step failed.
static int await_turn(struct program *p, uint32_t i) {
  for (;;) {
    uint32_t turn = __atomic_load_n(&p->turn, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&p->failed_errno, __ATOMIC_ACQUIRE)) return 0;
    if (turn == 0 || turn >= i) return 1;
    SYS4(futex, &p->turn, FUTEX_WAIT, turn, 0);
  }
}

static void await_departure(struct program *p) {
  uint32_t turn;
  while ((turn = __atomic_load_n(&p->turn, __ATOMIC_ACQUIRE)) != 0) SYS4(futex, &p->turn, FUTEX_WAIT, turn, 0);
}

// Passes the turn to step i. A turn of 0 stays: the kernel has written it (CLONE_CHILD_CLEARTID).
static void pass_turn(struct program *p, uint32_t i) {
  uint32_t turn = __atomic_load_n(&p->turn, __ATOMIC_ACQUIRE);
  while (turn != 0 && !__atomic_compare_exchange_n(&p->turn, &turn, i, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  SYS3(futex, &p->turn, FUTEX_WAKE, 1);
}

static void default_signals(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  for (int i = 1; i <= SIGNALS; i++) SYS4(rt_sigaction, i, &action, 0, SIGNAL_SET_SIZE);
}

static long drop_bounding(uint64_t mask) {
  for (int bit = 0; bit < BITS; bit++) {
    long result = mask >> bit & 1 ? SYS2(prctl, PR_CAPBSET_DROP, bit) : 0;
    if (result < 0 && result != -EINVAL) return result;
  }
  return 0;
}

// Returns the message at an offset of `end` bytes, or NULL. The end of the last one may have been cut off.
static const struct nlmsghdr *message_at(const void *buffer, size_t at, size_t end) {
  const struct nlmsghdr *message = (const void *)((const char *)buffer + at);
  return at + NLMSG_HDRLEN <= end && message->nlmsg_len >= NLMSG_HDRLEN ? message : NULL;
}

static size_t behind(const struct nlmsghdr *m, size_t at) {
  const size_t rest = NLMSG_ALIGNTO - 1;
  return at + ((m->nlmsg_len + rest) & ~rest);
}

// Sends messages and waits for their acknowledgements (NLM_F_ACK), or for the first error: its message stays in `reply`.
static long netlink(long fd, const void *messages, size_t length, void *reply, size_t size) {
  const struct nlmsghdr *m;
  long wanted = 0;
  for (size_t at = 0; (m = message_at(messages, at, length)); at = behind(m, at))
    wanted += m->nlmsg_flags & NLM_F_ACK ? 1 : 0;
  long sent = SYS4(sendto, fd, messages, length, 0);
  if (sent < 0) return sent;
  while (wanted > 0) {
    long got = SYS4(recvfrom, fd, reply, size, 0);
    if (got < 0 && got != -EINTR) return got;
    for (size_t at = 0; got > 0 && (m = message_at(reply, at, (size_t)got)); at = behind(m, at)) {
      if (m->nlmsg_type != NLMSG_ERROR) continue;
      if (at + NLMSG_LENGTH(sizeof(int)) > (size_t)got) return -EBADMSG;
      int error = ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
      if (error) return error;
      wanted--;
    }
  }
  return 0;
}

// Returns in a child. The parent reports the child's pid and exits, or exits with the child's exit status.
static long go_on_in_child(long flags, int report) {
  long pid = SYS(clone, flags | SIGCHLD, 0, 0, 0, 0, 0);
  if (pid <= 0) return pid;
  int status = 0;
  if (report >= 0) report_process(pid, report);
  else SYS4(wait4, pid, &status, __WALL, 0);
  leave(exit_status(status));
}

// Tells whether a program may execute a file, given by path or descriptor. Where the shim is a library, /proc/self/exe is the
// host's Deno until then: an image could lead there by a path, by #! or as an ELF interpreter, and write to it later
// (CVE-2019-5736). So the library executes only sealed memfds: the shim's own.
static int may_execute(const struct step *s, const long *a) {
  if (is_executable) return 1;
  if (s->call != __NR_execveat || a[4] != AT_EMPTY_PATH || *(const char *)a[1]) return 0;
  long seals = SYS2(fcntl, a[0], F_GET_SEALS);
  return seals > 0 && (seals & ALL_SEALS) == ALL_SEALS;
}

static int ignores(const struct step *s, long error) {
  for (int i = 0; i < MAX_IGNORED; i++)
    if (s->ignored[i] && s->ignored[i] == error) return 1;
  return 0;
}

static void child_entry(void *argument);

// Returns the address of the stack, or -errno: -EBUSY if it has a child already.
static long claim_stack(void) {
  static int guarded IN_DATA;
  long guard = ((long)room + GUARD_SIZE - 1) & -(long)GUARD_SIZE;
  if (__atomic_exchange_n(&in_use, 1, __ATOMIC_ACQUIRE)) return -EBUSY;
  if (!guarded) {
    long error = SYS3(mprotect, guard, GUARD_SIZE, PROT_NONE);
    if (error) return in_use = 0, error;
    guarded = 1;
  }
  return guard + GUARD_SIZE;
}

static void release_stack(void) {
#ifdef __SANITIZE_ADDRESS__
  // Functions that have not returned leave their frames poisoned.
  __asan_unpoison_memory_region(room, sizeof room);
#endif
  __atomic_store_n(&in_use, 0, __ATOMIC_RELEASE);
}

void free_child_stack(void) {
  long stack = claim_stack();
  if (is_error(stack)) return;
  SYS3(madvise, stack, STACK_SIZE, MADV_DONTNEED);
  release_stack();
}

static long start_child(uint32_t i, struct clone_args *args, size_t size, struct child *child) {
  struct program *p = child->program;
  long stack = claim_stack();
  if (is_error(stack)) return stack;
  args->stack = (uint64_t)stack;
  args->stack_size = STACK_SIZE;
  args->child_tid = (uint64_t)&p->turn;
  args->flags |= CLONE_VM | CLONE_CHILD_CLEARTID;
  child->first = i + 1;
  __atomic_store_n(&p->turn, i + 1, __ATOMIC_RELEASE);
  long pid = clone3_onto(args, size, child_entry, child);
  if (pid > 0) child->pid = pid;
  else release_stack();
  return pid;
}

static long perform(struct program *p, uint32_t i, const struct step *s, struct child *child) {
  long a[MAX_ARGUMENTS];
  for (int k = 0; k < MAX_ARGUMENTS; k++) {
    switch (s->kinds[k]) {
      case POINTER: a[k] = (long)at(p, s->arguments[k]); break;
      case REGISTER: a[k] = *register_at(p, s->arguments[k]); break;
      case REGISTER_POINTER: a[k] = (long)register_at(p, s->arguments[k]); break;
      default: a[k] = (long)s->arguments[k];
    }
  }
  switch (s->call) {
    case STORE: *(uint64_t *)a[0] = (uint64_t)a[1] + (uint64_t)a[2] + ((uint64_t)a[3] << 32); return 0;
    case EXPECT: return (*(uint64_t *)a[0] & (uint64_t)a[1]) == (uint64_t)a[2] ? 0 : -a[3];
    case DEFAULT_SIGNALS: default_signals(); return 0;
    case DROP_BOUNDING: return drop_bounding((uint64_t)a[0]);
    case GO_ON_IN_CHILD: return go_on_in_child(a[0], (int)a[1]);
    case REMOVE_TREE: return remove_tree((int)a[0], (const char *)a[1]);
    case OPEN_TARGET: return open_target((const char *)a[0], a[1]);
    case REMOVE_GROUP: return remove_group((const char *)a[0]);
    case NETLINK: return netlink(a[0], (void *)a[1], (size_t)a[2], (void *)a[3], (size_t)a[4]);
    case __NR_execve:
    case __NR_execveat: return may_execute(s, a) ? syscall6(s->call, a[0], a[1], a[2], a[3], a[4], a[5]) : -EPERM;
    case __NR_clone3: return child ? start_child(i, (struct clone_args *)a[0], (size_t)a[1], child) : -EINVAL;
    default: return syscall6(s->call, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
}

// Runs the steps of actor `me` from the i-th on. Returns 0 if a step failed.
static int interpret(struct program *p, uint32_t i, enum actor me, struct child *child) {
  for (; i < p->step_count; i++) {
    const struct step *s = step_at(p, i);
    if (s->actor != me) continue;
    if (i && step_at(p, i - 1)->actor != me && !await_turn(p, i)) return 0;
    if (s->when == NONE || *register_at(p, s->when) >= 0) {
      long result = perform(p, i, s, child);
      if (s->save != NONE) *register_at(p, s->save) = result;
      if (is_error(result) && !ignores(s, -result)) {
        p->failed_step = i;
        __atomic_store_n(&p->failed_errno, (uint32_t)-result, __ATOMIC_RELEASE);
        return 0;
      }
    }
    if (i + 1 < p->step_count && step_at(p, i + 1)->actor != me && s->call != __NR_clone3) pass_turn(p, i + 1);
  }
  return 1;
}

static void child_entry(void *argument) {
  struct child *child = argument;
  interpret(child->program, child->first, CONTAINER, NULL);
  leave(SHIM_FAILED);
}

int run_program(struct program *p) {
  struct child child = {.program = p};
  uint64_t before;
  relocate(p);
  SYS4(rt_sigprocmask, SIG_SETMASK, &ALL_SIGNALS, &before, SIGNAL_SET_SIZE);
  int done = interpret(p, 0, CALLER, &child);
  if (child.pid) {
    if (!done) SYS2(kill, child.pid, SIGKILL);
    await_departure(p);
    if (p->failed_errno) SYS4(wait4, child.pid, 0, __WALL, 0);
    release_stack();
  }
  SYS4(rt_sigprocmask, SIG_SETMASK, &before, 0, SIGNAL_SET_SIZE);
  return -(int)p->failed_errno;
}

int run_here(struct program *p) {
  relocate(p);
  interpret(p, 0, CONTAINER, NULL);
  return -(int)p->failed_errno;
}
