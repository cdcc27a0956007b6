// Functions that TypeScript loads.
#ifndef SAUROPOD_SHIM_H
#define SAUROPOD_SHIM_H

// Arguments of a system call from those of sauropod_call: I stands for one of its integers, B for one of its buffers, in order.
enum shape { I, B, IB, IIB, IIIB, IBB, BIB, IBIB, IBIIB, BB };

struct numbers {
  int nr;  // of a system call, or an enum pseudo
  int shape;
  int a, b, c, d;
};

// Makes a system call, or runs an enum pseudo. Returns its result or -errno. One function for all, since each that TypeScript
// loads costs start-up time.
int sauropod_call(struct numbers, void *p, void *q);
// The same on another thread: its buffers must not be reused meanwhile.
int sauropod_wait(int nr, int shape, int a, int b, int c, int d, void *p, void *q);

#endif
