// Text for people, put together without libc.
#ifndef SAUROPOD_TEXT_H
#define SAUROPOD_TEXT_H

#include <stdint.h>

// What has been written ends at `at`; what does not fit before `end` is left out.
struct text {
  char *at, *end;
};

void put(struct text *, const char *);
void put_number(struct text *, uint64_t);
// The time of day in UTC as RFC 3339 with nanoseconds has it: 30 characters.
void put_time(struct text *);

#endif
