// Programs from memory files and pipes, and the word that goes back when one fails.
#include "load.h"

#include <linux/mman.h>

#include "sys.h"

enum { SEEK_TO_OFFSET = 0, MOST_REGISTERS = 511 };  // PIPE_BUF: a report is written whole
enum { FIRST_ROOM = 65536 };

static int is_error(long address) { return address < 0 && address > -4096; }

struct program *load_program(int fd, uint64_t offset) {
  long size = FIRST_ROOM, length = 0, n;
  long at = SYS3(lseek, fd, offset, SEEK_TO_OFFSET);
  if (at < 0 && at != -ESPIPE) return NULL;
  long room = SYS(mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  while (!is_error(room) && (n = SYS3(read, fd, room + length, size - length)) != 0) {
    if (n < 0 && n != -EINTR) return NULL;
    if (n > 0) length += n;
    if (length < size) continue;
    room = SYS4(mremap, room, size, 2 * size, MREMAP_MAYMOVE);
    size *= 2;
  }
  return is_error(room) || length == 0 ? NULL : (struct program *)room;
}

void report_process(int64_t pid, int report) {
  uint32_t word[] = {PROCESS_REPORT, (uint32_t)pid};
  SYS3(write, report, word, sizeof word);
}

void report_failure(const struct program *p, int report) {
  struct {
    uint32_t step, error;
    int64_t registers[MOST_REGISTERS];
  } failure = {.step = p->failed_step, .error = p->failed_errno};
  const int64_t *registers = (const int64_t *)((const char *)p + p->registers);
  for (uint32_t i = 0; i < p->register_count && i < MOST_REGISTERS; i++) failure.registers[i] = registers[i];
  SYS3(write, report, &failure, sizeof failure);
}
