// Text formatting without libc.
#include "text.h"

#include "sys.h"

void put(struct text *t, const char *s) {
  while (*s && t->at < t->end) *t->at++ = *s++;
}

enum { MAX_DIGITS = 20, SECONDS_A_DAY = 86400 };

static void put_digits(struct text *t, uint64_t number, int least) {
  char digits[MAX_DIGITS];
  int count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) || count < least);
  while (count && t->at < t->end) *t->at++ = digits[--count];
}

void put_number(struct text *t, uint64_t number) { put_digits(t, number, 1); }

static void put_part(struct text *t, const char *before, uint64_t number, int digits) {
  put(t, before);
  put_digits(t, number, digits);
}

// Converts days since 1970 to a date of the Gregorian calendar. Years are counted from March on, so that the leap day comes
// last: 719,468 days lie between 0000-03-01 and 1970-01-01, 146,097 days are 400 years, 153 days are five months.
static void put_date(struct text *t, uint64_t days) {
  days += 719468;
  uint64_t era = days / 146097, day = days % 146097;
  uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  uint64_t rest = day - (365 * year + year / 4 - year / 100);
  uint64_t month = (5 * rest + 2) / 153;
  put_part(t, "", era * 400 + year + (month >= 10), 4);
  put_part(t, "-", month < 10 ? month + 3 : month - 9, 2);
  put_part(t, "-", rest - (153 * month + 2) / 5 + 1, 2);
}

void put_time(struct text *t) {
  struct {
    int64_t seconds, nanoseconds;
  } now;
  SYS2(clock_gettime, CLOCK_REALTIME, &now);
  uint64_t second = (uint64_t)now.seconds % SECONDS_A_DAY;
  put_date(t, (uint64_t)now.seconds / SECONDS_A_DAY);
  put_part(t, "T", second / 3600, 2);
  put_part(t, ":", second / 60 % 60, 2);
  put_part(t, ":", second % 60, 2);
  put_part(t, ".", (uint64_t)now.nanoseconds, 9);
  put(t, "Z");
}
