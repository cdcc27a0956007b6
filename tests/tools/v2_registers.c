// Preloaded into user-mode-linux, whose buffer for a processor's extended registers has 2,696 bytes. Where they are larger
// (AMX), the kernel refuses to set a part of them (EFAULT), and user-mode-linux panics. Here the rest is filled in from the
// process itself: none of user-mode-linux's processes uses it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

static char whole[65536];

long ptrace(enum __ptrace_request request, ...) {
  static long (*real)(int, long, void *, void *);
  if (!real) real = (long (*)(int, long, void *, void *))dlsym(RTLD_NEXT, "ptrace");
  va_list words;
  va_start(words, request);
  long pid = va_arg(words, long);
  void *address = va_arg(words, void *), *data = va_arg(words, void *);
  va_end(words);
  long result = real(request, pid, address, data);
  if (result == 0 || errno != EFAULT || request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE) return result;
  struct iovec *given = data, all = {whole, sizeof whole};
  if (real(PTRACE_GETREGSET, pid, address, &all) < 0 || given->iov_len > all.iov_len) return -1;
  memcpy(whole, given->iov_base, given->iov_len);
  return real(PTRACE_SETREGSET, pid, address, &all);
}
