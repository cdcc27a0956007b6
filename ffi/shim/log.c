// Log of a detached container: complete lines are marked F, parts of lines P.
#include "log.h"

#include <linux/fs.h>
#include <linux/stat.h>

#include "sys.h"
#include "text.h"

enum { PREFIX = 64, NAME = 16, LOSS = 160, MODE = S_IRUSR | S_IWUSR };

static void name_of(uint32_t number, char *name, char *end) {
  struct text t = {name, end - 1};
  put(&t, "log");
  if (number) put(&t, "."), put_number(&t, number);
  *t.at = 0;
}

static void open_file(struct log *log) {
  int fd = (int)SYS4(openat, log->directory, "log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, MODE);
  log->fd = fd < 0 ? -1 : move_descriptor(fd, log->place);
  long size = log->fd < 0 ? 0 : SYS3(lseek, log->fd, 0, SEEK_END);
  log->size = size < 0 ? 0 : (uint64_t)size;
}

static void rotate(struct log *log) {
  char from[NAME], to[NAME];
  if (log->fd >= 0) SYS1(close, log->fd);
  if (log->files == 1) SYS3(unlinkat, log->directory, "log", 0);
  for (uint32_t i = log->files - 1; i > 0; i--) {
    name_of(i - 1, from, from + sizeof from);
    name_of(i, to, to + sizeof to);
    SYS5(renameat2, log->directory, from, log->directory, to, 0);
  }
  open_file(log);
}

// Rotates between records only: a file holds complete ones.
static void make_room(struct log *log) {
  if (log->size >= log->limit) rotate(log);
}

// Writes complete records, or truncates the file to where it began.
static void flush(struct log *log, const struct piece *pieces, int count) {
  if (log->fd < 0) open_file(log);
  uint64_t length = 0;
  for (int i = 0; i < count; i++) length += pieces[i].length;
  if (SYS3(writev, log->fd, pieces, count) == (long)length) {
    log->size += length;
    return;
  }
  SYS2(ftruncate, log->fd, log->size);
  log->lost += length;
}

void log_open(struct log *log, int directory, uint32_t files, uint64_t limit, int place) {
  char last = '\n';
  *log = (struct log){.directory = directory, .place = place, .fd = -1, .files = files, .limit = limit};
  // A monitor that was killed may have left part of a record.
  int fd = (int)SYS4(openat, directory, "log", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  long size = fd < 0 ? 0 : SYS3(lseek, fd, 0, SEEK_END);
  if (size > 0) SYS4(pread64, fd, &last, 1, size - 1);
  if (fd >= 0) SYS1(close, fd);
  open_file(log);
  struct piece newline = {"\n", 1};
  if (last != '\n') flush(log, &newline, 1);
}

static void note_loss(struct log *log) {
  char record[LOSS];
  struct text t = {record, record + sizeof record};
  uint64_t lost = log->lost;
  put_time(&t);
  put(&t, " stderr F sauropod: no room on the disk: ");
  put_number(&t, lost);
  put(&t, " bytes of this log are lost\n");
  log->lost = 0;
  make_room(log);
  flush(log, &(struct piece){record, (size_t)(t.at - record)}, 1);
  if (log->lost) log->lost = lost;
}

typedef uint64_t word __attribute__((aligned(1), may_alias));

static long line_length(const char *bytes, long length) {
  const uint64_t ones = ~0ULL / 255;
  long n = 0;
  for (; n + 8 <= length; n += 8) {
    uint64_t different = *(const word *)(bytes + n) ^ ones * '\n';
    if ((different - ones) & ~different & ones << 7) break;
  }
  while (n < length && bytes[n] != '\n') n++;
  return n;
}

static struct piece prefix_of(const char *stream, const char *kind, char *prefix) {
  struct text t = {prefix, prefix + PREFIX};
  put_time(&t), put(&t, " "), put(&t, stream), put(&t, kind);
  return (struct piece){prefix, (size_t)(t.at - prefix)};
}

void log_write(struct log *log, const char *stream, const char *bytes, long length) {
  struct piece *pieces = log->pieces;
  char whole[PREFIX], partial[PREFIX];
  const struct piece before = prefix_of(stream, " F ", whole);
  int count = 0;
  if (log->lost) note_loss(log);
  while (length > 0) {
    if (count == 0) make_room(log);
    long text = line_length(bytes, length), end = text < length ? text + 1 : text;
    pieces[count++] = end > text ? before : prefix_of(stream, " P ", partial);
    pieces[count++] = (struct piece){bytes, (size_t)end};
    if (end == text) pieces[count++] = (struct piece){"\n", 1};
    bytes += end, length -= end;
    if (length > 0 && count < PIECES - 3) continue;
    flush(log, pieces, count);
    count = 0;
  }
}
