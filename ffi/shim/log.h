// The log of a detached container, in the text format of Kubernetes' CRI: TIME STREAM F|P TEXT.
#ifndef SAUROPOD_LOG_H
#define SAUROPOD_LOG_H

#include <stddef.h>
#include <stdint.h>

enum { PIECES = 128 };

struct piece {
  const char *bytes;
  size_t length;
};

struct log {
  int folder;      // where `log`, `log.1`, ... are
  int place;       // the descriptor that `log` is to have
  int fd;          // that it has; negative: it is not open
  uint32_t files;  // how many there may be, at least 1
  uint64_t limit;  // the size at which one is put away
  uint64_t size;   // of `log`
  uint64_t lost;   // bytes for which the disk had no room, and of which nobody has been told
  struct piece pieces[PIECES];  // of what is about to be written
};

void log_open(struct log *, int folder, uint32_t files, uint64_t limit, int place);
// Writes what has come from a stream. What the disk has no room for is lost: the container is not held up.
void log_write(struct log *, const char *stream, const char *bytes, long length);

#endif
