// Root in a container, with CAP_SYS_PTRACE, that tries to change the executable argv[1], or to take it away from others.
// It says "opened", and what has been done to it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TRY(what) \
  if ((long)(what) >= 0) printf("CHANGED: %s\n", #what)

int main(int argc, char **argv) {
  int fd = open(argv[1], O_RDONLY);
  struct {
    uint32_t version;
    struct { uint16_t tag, permissions; uint32_t id; } entries[3];
  } nothing = {2, {{1, 0, -1u}, {4, 0, -1u}, {0x20, 0, -1u}}};
  uint32_t capability[5] = {0x02000001, 1 << 7};
  if (fd < 0) return 1;
  puts("opened");
  TRY(open(argv[1], O_WRONLY));
  TRY(ftruncate(fd, 0));
  TRY(write(fd, "x", 1));
  TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  void *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) puts("CHANGED: mmap");
  TRY(fchmod(fd, 0));
  TRY(fchmod(fd, 04777));
  TRY(fchmod(fd, 0111));
  TRY(fchown(fd, 1000, 1000));
  TRY(fsetxattr(fd, "system.posix_acl_access", &nothing, sizeof nothing, 0));
  TRY(fsetxattr(fd, "security.capability", capability, sizeof capability, 0));
  TRY(fsetxattr(fd, "user.x", "x", 1, 0));
  return 0;
}
