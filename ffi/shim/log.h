// Log of a detached container, in the text format of Kubernetes' CRI: TIME STREAM F|P TEXT.
#ifndef SAUROPOD_LOG_H
#define SAUROPOD_LOG_H

#include <stddef.h>
#include <stdint.h>

enum { PIECES = 128 };  // of one writev(2)

struct piece {
  const char *bytes;
  size_t length;
};

struct log {
  int directory;   // of `log`, `log.1`, ...
  int place;       // the descriptor that `log` is to have
  int fd;          // its descriptor; negative: it is not open
  uint32_t files;  // maximum number, at least 1
  uint64_t limit;  // size at which a file is rotated
  uint64_t size;   // of `log`
  uint64_t lost;   // bytes for which there was no space (ENOSPC), not yet noted in the log
  struct piece pieces[PIECES];  // of the next write
};

void log_open(struct log *, int directory, uint32_t files, uint64_t limit, int place);
// Writes output of a stream. What the disk has no space for is dropped and counted: the container is not blocked.
void log_write(struct log *, const char *stream, const char *bytes, long length);

#endif
