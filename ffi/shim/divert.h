// A signal that Deno acts on itself, in ways that nobody wants here.
#ifndef SAUROPOD_DIVERT_H
#define SAUROPOD_DIVERT_H

// From now on the process gets SIGSTKFLT, which nobody else sends, when it is sent `signal`. 0 or -errno.
long divert_signal(int signal);

#endif
