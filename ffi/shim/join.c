// Exec into a running container: runs a program that enters its namespaces and executes a command there. This process holds
// no descriptor or memory of Deno's that the container could take from it.
#include "load.h"
#include "modes.h"
#include "sys.h"

void run_join(int program, int report) {
  struct program *p = load_program(program, 0);
  if (!p) leave(SHIM_FAILED);
  SYS1(close, program);
  run_here(p);
  report_failure(p, report);
  leave(SHIM_FAILED);
}
