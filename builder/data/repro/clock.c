/* Stands still: what asks libc for the time of day gets SECONDS since 1970, whenever it asks. `cargo xtask repro`
   compiles it and has the loader put it before every dynamically linked program of a build. Clocks that only
   measure (CLOCK_MONOTONIC and its like) go on, so that time-outs still end. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *to)
{
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI) {
        to->tv_sec = SECONDS;
        to->tv_nsec = 0;
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, to);
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
    (void)zone;
    if (to) {
        to->tv_sec = SECONDS;
        to->tv_usec = 0;
    }
    return 0;
}

time_t time(time_t *to)
{
    if (to)
        *to = SECONDS;
    return SECONDS;
}

int timespec_get(struct timespec *to, int base)
{
    if (base != TIME_UTC)
        return 0;
    clock_gettime(CLOCK_REALTIME, to);
    return base;
}
