// Modes of the shim as an executable, by argv[0].
#ifndef SAUROPOD_MODES_H
#define SAUROPOD_MODES_H

// Runs the mode that argv[0] names, and exits.
_Noreturn void run_mode(long argc, char **argv);

// sauropod-init: PID 1 of a container. `program` is a descriptor of the command's program, `report` gets its failure.
_Noreturn void run_init(int program, int report);
// sauropod-join: runs `program`, which executes a command: as PID 1 of a container without --init, or in a running container
// that it enters. `report` gets the command's pid in the latter case, and then end-of-file, or the failure.
_Noreturn void run_join(int program, int report);
// sauropod-monitor: supervises a detached container. `file` holds a job.
_Noreturn void run_monitor(int file);
// sauropod-pump: copies bytes between the user's terminal and a container's until either ends or `lifeline` is closed.
_Noreturn void run_pump(int terminal, int output, int master, int lifeline);

#endif
