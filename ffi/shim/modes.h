// What the shim does when it is executed as a program instead of loaded as a library.
#ifndef SAUROPOD_MODES_H
#define SAUROPOD_MODES_H

// init: PROGRAM and REPORT are descriptors of the command's program and of the pipe that takes its failure.
_Noreturn void run_init(int program, int report);
// join: PROGRAM enters a running container and executes a command there. REPORT takes first the command's process, then
// nothing, or its failure.
_Noreturn void run_join(int program, int report);
// monitor: FILE holds a job.
_Noreturn void run_monitor(int file);
// pump: moves bytes between the user's terminal and a container's until either ends or LIFELINE does.
_Noreturn void run_pump(int terminal, int output, int master, int lifeline);

#endif
