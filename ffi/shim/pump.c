// Terminal pump: raw mode on the user's terminal, copying both ways, window sizes, and the old mode restored at the end, even
// when the process that started the pump is killed. The other side is the container's terminal, or a pipe of `attach`.
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/termios.h>
#include <linux/time_types.h>

#include "modes.h"
#include "sys.h"

enum { TERMINAL, MASTER, LIFELINE, SIGNALS, SOURCES };
enum { BUFFER = 4096, END_OF_TRANSMISSION = 4, FOREGROUND_INTERVAL_NS = 250000000 };

static char in[BUFFER], out[BUFFER];

static void resize(int terminal, int master) {
  struct winsize size;
  if (SYS3(ioctl, terminal, TIOCGWINSZ, &size) == 0) SYS3(ioctl, master, TIOCSWINSZ, &size);
}

static int in_foreground(int terminal) {
  int group = 0;
  return SYS3(ioctl, terminal, TIOCGPGRP, &group) == 0 && group == SYS1(getpgid, 0);
}

static void raw(int terminal, const struct termios *before) {
  struct termios t = *before;
  t.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  t.c_oflag &= ~OPOST;
  t.c_lflag &= ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  t.c_cflag = (t.c_cflag & ~(CSIZE | PARENB)) | CS8;
  t.c_cc[VMIN] = 1, t.c_cc[VTIME] = 0;
  SYS3(ioctl, terminal, TCSETS, &t);
}

static int write_all(int fd, const char *bytes, long length) {
  while (length > 0) {
    long n = SYS3(write, fd, bytes, length);
    if (n == -EINTR) continue;
    if (n == -EAGAIN) {
      struct pollfd ready = {fd, POLLOUT, 0};
      SYS5(ppoll, &ready, 1, 0, 0, 0);
      continue;
    }
    if (n <= 0) return 0;
    bytes += n, length -= n;
  }
  return 1;
}

void run_pump(int terminal, int output, int master, int lifeline) {
  long pending = 0;
  int ended = 0;
  struct termios before;
  SYS4(rt_sigprocmask, SIG_SETMASK, &ALL_SIGNALS, 0, SIGNAL_SET_SIZE);
  int signals = (int)SYS4(signalfd4, -1, &ALL_SIGNALS, SIGNAL_SET_SIZE, 0);
  int known = SYS3(ioctl, terminal, TCGETS, &before) == 0;
  // Only a terminal has a foreground process group.
  int foreground = known ? in_foreground(terminal) : 1;
  if (known && foreground) raw(terminal, &before);
  resize(terminal, master);

  for (;;) {
    struct pollfd fds[] = {{foreground && !pending ? terminal : -1, POLLIN, 0},
                           {master, (short)(POLLIN | (pending ? POLLOUT : 0)), 0},
                           {lifeline, POLLIN, 0},
                           {signals, POLLIN, 0}};
    // No signal tells a running job that its shell has moved it to the foreground: poll.
    struct __kernel_timespec interval = {0, FOREGROUND_INTERVAL_NS};
    int waiting = known && !foreground && !ended;
    if (SYS5(ppoll, fds, SOURCES, waiting ? &interval : 0, 0, SIGNAL_SET_SIZE) < 0) continue;
    if (waiting && (foreground = in_foreground(terminal))) raw(terminal, &before);
    if (fds[SIGNALS].revents & POLLIN) {
      struct signalfd_siginfo info;
      if (SYS3(read, signals, &info, sizeof info) < (long)sizeof info) break;
      int signal = (int)info.ssi_signo;
      if (signal == SIGWINCH) resize(terminal, master);
      if (signal == SIGCONT && known && !ended && (foreground = in_foreground(terminal))) raw(terminal, &before);
      if (signal == SIGTERM || signal == SIGHUP) break;
    }
    if (fds[TERMINAL].revents) {
      pending = SYS3(read, terminal, in, BUFFER);
      if (pending <= 0) {
        ended = 1, foreground = 0, pending = 0;
        // End-of-file of a pipe or file becomes the EOF character of the terminal.
        if (!known) in[0] = END_OF_TRANSMISSION, pending = 1;
      }
    }
    if (pending && fds[MASTER].revents & POLLOUT) {
      long n = SYS3(write, master, in, pending);
      if (n > 0) {
        pending -= n;
        for (long i = 0; i < pending; i++) in[i] = in[i + n];
      } else if (n != -EAGAIN && n != -EINTR) {
        break;
      }
    }
    if (fds[MASTER].revents & (POLLIN | POLLHUP | POLLERR)) {
      long n = SYS3(read, master, out, BUFFER);
      if (n == -EAGAIN || n == -EINTR) continue;
      if (n <= 0 || !write_all(output, out, n)) break;
    } else if (fds[LIFELINE].revents) {
      break;
    }
  }
  if (known && in_foreground(terminal)) SYS3(ioctl, terminal, TCSETSW, &before);
  leave(0);
}
