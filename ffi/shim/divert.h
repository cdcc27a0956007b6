// SIGUSR1, which opens a debugger in Deno.
#ifndef SAUROPOD_DIVERT_H
#define SAUROPOD_DIVERT_H

// Makes the process get SIGSTKFLT, which the kernel never sends, for each `signal`. Returns 0 or -errno.
long divert_signal(int signal);

#endif
