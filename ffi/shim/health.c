// Asks a container now and then whether it is well: runs a command in it, whose exit code is the answer.
#include "health.h"

#include <linux/mman.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "load.h"
#include "program.h"
#include "sys.h"

static int64_t now(void) {
  int64_t time[2];
  SYS2(clock_gettime, 1, time);
  return time[0] * 1000 + time[1] / 1000000;
}

void health_open(struct health *h, const struct job *job, int file) {
  *h = (struct health){.job = job, .file = file};
}

void health_begin(struct health *h, struct record *r) {
  if (!h->job->health) return;
  h->start = now();
  h->due = h->start + h->job->health_interval;
  h->failures = 0;
  record_health(r, "starting", 0);
}

long health_pause(const struct health *h) {
  if (!h->job->health) return -1;
  int64_t pause = h->due - now();
  return pause < 0 ? 0 : (long)pause;
}

static void ask(struct health *h) {
  h->due = now() + h->job->health_timeout;
  h->asking = SYS(clone, SIGCHLD, 0, 0, 0, 0, 0);
  if (h->asking < 0) h->asking = 0;
  if (h->asking) return;
  // What the command starts is in our process group, too, and is killed with it.
  SYS1(setsid, 0);
  struct program *p = load_program(h->file, h->job->health);
  if (p) run_here(p);
  leave(125);
}

static void answer(struct health *h, struct record *r, int well) {
  h->asking = 0;
  h->due = now() + h->job->health_interval;
  int early = now() < h->start + h->job->health_start && same(r->health, "starting");
  if (well) h->failures = 0;
  else if (!early) h->failures++;
  const char *health = well ? "healthy" : h->failures >= h->job->health_retries && !early ? "unhealthy" : r->health;
  record_health(r, health, h->failures);
}

void health_check(struct health *h, struct record *r) {
  int status;
  if (!h->job->health) return;
  if (!h->asking) {
    if (now() >= h->due) ask(h);
  } else if (SYS4(wait4, h->asking, &status, WNOHANG, 0) == h->asking) {
    answer(h, r, status == 0);
  } else if (now() >= h->due) {
    health_end(h);
    answer(h, r, 0);
  }
}

void health_end(struct health *h) {
  if (!h->asking) return;
  SYS2(kill, -h->asking, SIGKILL);
  // It may not lead its group yet.
  SYS2(kill, h->asking, SIGKILL);
  SYS4(wait4, h->asking, 0, 0, 0);
  h->asking = 0;
}
