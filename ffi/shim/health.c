// Health checks of a detached container: commands that run in it, by their exit status.
#include "health.h"

#include <linux/signal.h>
#include <linux/wait.h>

#include "load.h"
#include "program.h"
#include "sys.h"

void health_open(struct health *h, const struct job *job, int file) {
  *h = (struct health){.job = job, .file = file};
}

void health_begin(struct health *h, struct record *r) {
  if (!h->job->health) return;
  h->started = monotonic_ms();
  h->due = h->started + h->job->health_interval;
  h->failures = 0;
  record_health(r, "starting", 0);
}

long health_pause(const struct health *h) {
  if (!h->job->health) return -1;
  int64_t pause = h->due - monotonic_ms();
  return pause < 0 ? 0 : (long)pause;
}

static void start_check(struct health *h) {
  h->due = monotonic_ms() + h->job->health_timeout;
  h->checking = SYS(clone, SIGCHLD, 0, 0, 0, 0, 0);
  if (h->checking < 0) h->checking = 0;
  if (h->checking) return;
  // All that the command starts is in this process group, and is killed with it.
  SYS1(setsid, 0);
  struct program *p = load_program(h->file, h->job->health);
  if (p) run_here(p);
  leave(SHIM_FAILED);
}

static void finish(struct health *h, struct record *r, int well) {
  h->checking = 0;
  h->due = monotonic_ms() + h->job->health_interval;
  int early = monotonic_ms() < h->started + h->job->health_start && same(r->health, "starting");
  if (well) h->failures = 0;
  else if (!early) h->failures++;
  const char *health = well ? "healthy" : h->failures >= h->job->health_retries && !early ? "unhealthy" : r->health;
  record_health(r, health, h->failures);
}

void health_check(struct health *h, struct record *r) {
  int status;
  if (!h->job->health) return;
  if (!h->checking) {
    if (monotonic_ms() >= h->due) start_check(h);
  } else if (SYS4(wait4, h->checking, &status, WNOHANG, 0) == h->checking) {
    finish(h, r, status == 0);
  } else if (monotonic_ms() >= h->due) {
    health_end(h);
    finish(h, r, 0);
  }
}

void health_end(struct health *h) {
  if (!h->checking) return;
  SYS2(kill, -h->checking, SIGKILL);
  // setsid(2) may not have been called yet.
  SYS2(kill, h->checking, SIGKILL);
  SYS4(wait4, h->checking, 0, 0, 0);
  h->checking = 0;
}
