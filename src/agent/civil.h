/* Days, wall clocks and instants. A day is a number (days since 1970-01-01), an instant is seconds
 * of UTC since then, a Civil is what clocks on the wall show. The proleptic Gregorian calendar
 * throughout; years 1 to 9999. */
#ifndef AGENT_CIVIL_H
#define AGENT_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Civil {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second;
} Civil;

enum { MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY };

bool civil_valid_date(int year, int month, int day);
int civil_month_days(int year, int month);
/* The day's number; the date is valid. */
int64_t civil_day(int year, int month, int day);
/* Date of a day; the time is 0:00. A day outside the years 1 to 9999 gives the nearest inside. */
Civil civil_of_day(int64_t day);
int civil_weekday(int64_t day);
/* So many months (or years of 12) later; a day that the month lacks becomes its last one. */
int64_t civil_add_months(int64_t day, int64_t months);
/* Easter Sunday, by the Gregorian computus (Meeus, Astronomical Algorithms, chapter 8). */
int64_t civil_easter(int year);

/* The system's time zone, as localtime has it (TZ, or the machine's own). The zone's file is read
 * at the first call: make one before the rights to read files are given up. */
Civil clock_local(int64_t instant);
int64_t clock_day(int64_t instant); /* the day on the wall */
/* The instant at which clocks show this. Where they show it twice (the hour repeated in autumn) the
 * first; where they skip it (spring), as much later as they skip. */
int64_t clock_instant(const Civil *c);
int64_t clock_at(int64_t day, int minute); /* minutes after midnight; may be 24 * 60 or more */

#endif
