// Writes to the executable behind the O_PATH descriptor argv[1] as soon as nobody runs it, at most ten seconds long.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char path[64];
  if (argc != 2) return 2;
  snprintf(path, sizeof path, "/proc/self/fd/%s", argv[1]);
  signal(SIGHUP, SIG_IGN), signal(SIGPIPE, SIG_IGN), signal(SIGTERM, SIG_IGN), signal(SIGINT, SIG_IGN);
  for (int i = 0; i < 1000; i++, usleep(10000)) {
    int fd = open(path, O_WRONLY);
    if (fd >= 0) return write(fd, "OVERWRITTEN", 11) != 11;
  }
  return 1;
}
