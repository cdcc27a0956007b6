// Programs from memfds and pipes, and the report of a failed one.
#include "load.h"

#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/mman.h>

#include "sys.h"
#include "validate.h"

enum { FIRST_ROOM = 65536 };

_Static_assert(sizeof(struct report) == PIPE_BUF, "a report is written whole");

struct program *load_program(int fd, uint64_t offset) {
  long size = FIRST_ROOM, length = 0, n;
  long at = SYS3(lseek, fd, offset, SEEK_SET);
  if (at < 0 && at != -ESPIPE) return NULL;
  long room = SYS(mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  while (!is_error(room) && (n = SYS3(read, fd, room + length, size - length)) != 0) {
    if (n < 0 && n != -EINTR) return NULL;
    if (n > 0) length += n;
    if (length < size) continue;
    room = SYS4(mremap, room, size, 2 * size, MREMAP_MAYMOVE);
    size *= 2;
  }
  struct program *p = (struct program *)room;
  return !is_error(room) && is_valid_program(p, (uint64_t)length) ? p : NULL;
}

void report_process(int64_t pid, int report) {
  uint32_t head[] = {PROCESS_REPORT, (uint32_t)pid};
  SYS3(write, report, head, sizeof head);
}

void report_failure(const struct program *p, int report) {
  struct report failure = {.step = p->failed_step, .error = p->failed_errno};
  const int64_t *registers = (const int64_t *)((const char *)p + p->registers);
  for (uint32_t i = 0; i < p->register_count && i < MAX_REPORTED; i++) failure.registers[i] = registers[i];
  SYS3(write, report, &failure, sizeof failure);
}
