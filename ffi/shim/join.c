// Joins a container: walks a program that enters its namespaces and executes a command there. It runs in a process of
// its own, which holds nothing that the container could take from it.
#include "load.h"
#include "modes.h"
#include "sys.h"

void run_join(int program, int report) {
  struct program *p = load_program(program, 0);
  if (!p) leave(125);
  SYS1(close, program);
  run_here(p);
  report_failure(p, report);
  leave(125);
}
