/* How the threads of one parallel region share out tiles and wait for each other. No OpenMP: the regions are in
 * threads.pyx and network.pyx. */
#ifndef FASTSEP_TEAM_H
#define FASTSEP_TEAM_H

#include <sched.h>
#include <stdint.h>
#include <time.h>

/* A thread's share of the tiles, on a cache line of its own. */
struct fs_share { int64_t next, last; char apart[48]; } __attribute__((aligned(64)));

static inline int64_t fs_take(struct fs_share *share)
{
    return __atomic_fetch_add(&share->next, 1, __ATOMIC_RELAXED);
}

/* All threads of a region wait here for the last of them. Counter and generation on cache lines of their own: those that
 * arrive write the one, those that wait read the other. */
struct fs_barrier { int64_t arrived; char apart[120]; int64_t generation; char apart_too[120]; };

/* Pauses before a waiting thread gives its core away at every look: about 40 µs, longer than two phases that are of
 * equal length end apart. With more threads than cores, the one that is waited for may need this core. */
enum { FS_PAUSES = 2000 };

static inline void fs_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static inline void fs_wait(struct fs_barrier *barrier, int64_t threads)
{
    const int64_t generation = __atomic_load_n(&barrier->generation, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&barrier->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int pauses = 0; __atomic_load_n(&barrier->generation, __ATOMIC_ACQUIRE) == generation;) {
        if (pauses < FS_PAUSES) {
            fs_pause();
            pauses++;
        } else {
            sched_yield();
        }
    }
}

/* Whether the flag was clear, and is now set by this thread. */
static inline int fs_claim(int *flag)
{
    return !__atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE);
}

static inline void fs_release(int *flag)
{
    __atomic_store_n(flag, 0, __ATOMIC_RELEASE);
}

static inline double fs_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
