// Text formatting without libc.
#ifndef SAUROPOD_TEXT_H
#define SAUROPOD_TEXT_H

#include <stdint.h>

// A buffer that is being filled: its text ends at `at`. Writing stops at `end`.
struct text {
  char *at, *end;
};

void put(struct text *, const char *);
void put_number(struct text *, uint64_t);
// Appends the time in UTC as RFC 3339 with nanoseconds has it: 30 characters.
void put_time(struct text *);

#endif
