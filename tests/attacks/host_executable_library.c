// A library of a hostile image, for LD_PRELOAD: wherever it is loaded into an executable of the host's, it keeps that open
// beyond the executable's end, and leaves the rest to /writer.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

__attribute__((constructor)) static void go(void) {
  char executable[256] = {0}, number[16];
  if (getenv("LOADED")) return;
  readlink("/proc/self/exe", executable, sizeof executable - 1);
  sprintf(number, "%d", open("/proc/self/exe", O_PATH));
  prctl(PR_SET_PDEATHSIG, 0);
  setenv("LOADED", "1", 1);
  unsetenv("LD_PRELOAD");
  printf("LOADED into %s\n", executable);
  fflush(stdout);
  execl("/writer", "writer", number, NULL);
}
