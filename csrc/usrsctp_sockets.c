/* The sockets of the usrsctp stack. One is an end of a socketpair, so that any loop can poll it like a
 * kernel's socket: it reads as ready while a byte lies in it, and is writable unless it was filled up. The
 * other end is ours.
 *   - Ready is raised by usrsctp's threads (an upcall) and lowered only here, when a call found nothing: then
 *     the state is looked at again after lowering. Whatever happens after that look brings an upcall.
 *   - usrsctp makes no upcall for what its timers do (a path fails, a message expires), nor for room on a
 *     one-to-many socket: a thread of ours looks at all sockets now and then.
 * Nothing of Python runs on those threads. */
#include "usrsctp_private.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS (1 << 20)
#define SWEEP_NANOSECONDS 20000000L

static _Atomic(struct slot *) slots[DESCRIPTORS];
static _Atomic uint64_t signals;

/* All that follow; a slot's lock is never held where this one is taken. */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static struct slot *free_slots, *all_slots;
static int stopping;
static pthread_t sweeper;

/* Readiness. The slot's lock is held. */

static void raise_readable(struct slot *slot)
{
    if (!slot->readable && send(slot->ours, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
        slot->readable = 1;
        signals++;
    }
}

static void lower_readable(struct slot *slot)
{
    uint8_t byte;
    if (slot->readable) {
        (void)!recv(slot->theirs, &byte, 1, MSG_DONTWAIT);
        slot->readable = 0;
    }
}

static void block(struct slot *slot)
{
    static const uint8_t filling[4096];
    if (slot->blocked)
        return;
    while (send(slot->theirs, filling, sizeof filling, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    slot->blocked = 1;
}

static void unblock(struct slot *slot)
{
    uint8_t filling[4096];
    if (!slot->blocked)
        return;
    while (recv(slot->ours, filling, sizeof filling, MSG_DONTWAIT) > 0)
        ;
    slot->blocked = 0;
    signals++;
}

/* Tells the loop what is there: all of it, or only what was not there at the last look. */
static void look(struct slot *slot, int all)
{
    int events = usrsctp_get_events(slot->so);
    int told = all ? events : events & ~slot->seen;

    slot->seen = events;
    if (told & (SCTP_EVENT_READ | SCTP_EVENT_ERROR))
        raise_readable(slot);
    /* usrsctp calls a one-to-many socket never writable. */
    if ((told & (SCTP_EVENT_WRITE | SCTP_EVENT_ERROR)) || (all && slot->many))
        unblock(slot);
}

static void on_upcall(struct socket *so, void *argument, int flags)
{
    struct slot *slot = argument;
    (void)flags;
    pthread_mutex_lock(&slot->lock);
    /* Not a socket that had this slot before. */
    if (slot->so == so)
        look(slot, 1);
    pthread_mutex_unlock(&slot->lock);
}

void look_at(struct slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    if (slot->so)
        look(slot, 1);
    pthread_mutex_unlock(&slot->lock);
}

void set_blocked(struct slot *slot, int blocked)
{
    pthread_mutex_lock(&slot->lock);
    if (blocked)
        block(slot);
    else
        unblock(slot);
    pthread_mutex_unlock(&slot->lock);
}

int nothing_there(struct slot *slot, int turn)
{
    int again;
    pthread_mutex_lock(&slot->lock);
    lower_readable(slot);
    slot->seen = usrsctp_get_events(slot->so);
    again = (slot->seen & (SCTP_EVENT_READ | SCTP_EVENT_ERROR)) && turn == 0;
    pthread_mutex_unlock(&slot->lock);
    return again;
}

/* Slots */

static struct slot *new_slot(void)
{
    struct slot *slot;
    pthread_mutex_lock(&registry);
    slot = free_slots;
    if (slot) {
        free_slots = slot->next_free;
    } else if ((slot = calloc(1, sizeof *slot)) != NULL) {
        pthread_mutex_init(&slot->lock, NULL);
        slot->next = all_slots;
        all_slots = slot;
    }
    pthread_mutex_unlock(&registry);
    return slot;
}

static void recycle(struct slot *slot)
{
    pthread_mutex_lock(&registry);
    slot->next_free = free_slots;
    free_slots = slot;
    pthread_mutex_unlock(&registry);
}

/* The socket of a slot, which is nobody's from then on; NULL when there was none. The lock is held. */
static struct socket *take(struct slot *slot)
{
    struct socket *so = slot->so;
    slot->so = NULL;
    return so;
}

static void dispose(struct slot *slot, struct socket *so)
{
    LOCKED((usrsctp_close(so), 0));
    close(slot->ours);
    recycle(slot);
}

static void release(struct slot *slot)
{
    struct socket *so;

    if (process.forked) {
        /* The locks may be held by threads that are not here. */
        if (take(slot))
            close(slot->ours);
        return;
    }
    pthread_mutex_lock(&slot->lock);
    so = take(slot);
    pthread_mutex_unlock(&slot->lock);
    if (so)
        dispose(slot, so);
}

int sctpio_close(int fd)
{
    struct slot *slot = fd >= 0 && fd < DESCRIPTORS ? atomic_exchange(&slots[fd], NULL) : NULL;
    if (!slot)
        return -EBADF;
    release(slot);
    return close(fd) < 0 ? -errno : 0;
}

/* What timers did, and whether the descriptor was closed by whom it was given to. */
static void sweep_one(struct slot *slot)
{
    struct socket *so = NULL;
    struct slot *expected = slot;
    uint8_t byte;

    pthread_mutex_lock(&slot->lock);
    if (slot->so) {
        look(slot, 0);
        /* Of room alone usrsctp makes no upcall on a one-to-many socket: who waits tries now and then. */
        if (slot->many)
            unblock(slot);
        if (slot->detached && recv(slot->ours, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            so = take(slot);
    }
    pthread_mutex_unlock(&slot->lock);
    if (so) {
        atomic_compare_exchange_strong(&slots[slot->theirs], &expected, NULL);
        dispose(slot, so);
    }
}

static void *sweep(void *nothing)
{
    struct timespec until;
    (void)nothing;
    pthread_mutex_lock(&registry);
    while (!stopping) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += SWEEP_NANOSECONDS;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&wake, &registry, &until);
        struct slot *first = stopping ? NULL : all_slots;
        pthread_mutex_unlock(&registry);
        for (struct slot *slot = first; slot; slot = slot->next)
            sweep_one(slot);
        pthread_mutex_lock(&registry);
    }
    pthread_mutex_unlock(&registry);
    return NULL;
}

int start_sweeping(void)
{
    pthread_condattr_t attributes;

    /* By a clock that nobody sets. */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attributes);
    pthread_condattr_destroy(&attributes);
    stopping = 0;
    return -pthread_create(&sweeper, NULL, sweep, NULL);
}

void stop_sweeping(void)
{
    pthread_mutex_lock(&registry);
    stopping = 1;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&registry);
    pthread_join(sweeper, NULL);
}

void abort_all(void)
{
    const struct linger abortive = {1, 0};

    pthread_mutex_lock(&registry);
    struct slot *first = all_slots;
    pthread_mutex_unlock(&registry);
    for (struct slot *slot = first; slot; slot = slot->next) {
        struct socket *so = slot->so;
        if (so) {
            LOCKED(usrsctp_setsockopt(so, SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive));
            release(slot);
        }
    }
}

int reserve(struct slot **reserved)
{
    int ends[2], least = 1;
    struct slot *slot;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    slot = ends[0] < DESCRIPTORS ? new_slot() : NULL;
    if (!slot) {
        close(ends[0]);
        close(ends[1]);
        return ends[0] < DESCRIPTORS ? -ENOMEM : -EMFILE;
    }
    /* As little as there can be: filling it up is one small write. */
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    slot->theirs = ends[0];
    slot->ours = ends[1];
    slot->seen = 0;
    slot->readable = slot->blocked = slot->silent = slot->detached = 0;
    *reserved = slot;
    return 0;
}

void give_back(struct slot *slot)
{
    close(slot->theirs);
    close(slot->ours);
    recycle(slot);
}

int attach(struct slot *slot, struct socket *so, int many)
{
    int fd = slot->theirs;
    struct slot *stale = atomic_exchange(&slots[fd], slot);

    /* A descriptor that was detached, and closed by somebody else. */
    if (stale)
        release(stale);
    pthread_mutex_lock(&slot->lock);
    slot->so = so;
    slot->many = (uint8_t)many;
    pthread_mutex_unlock(&slot->lock);
    usrsctp_set_non_blocking(so, 1);
    usrsctp_set_upcall(so, on_upcall, slot);
    look_at(slot);
    return fd;
}

int find(int fd, struct slot **slot)
{
    if (process.forked)
        return -ENOTRECOVERABLE;
    if (fd < 0 || fd >= DESCRIPTORS)
        return -EBADF;
    *slot = slots[fd];
    return *slot && (*slot)->so ? 0 : -EBADF;
}

int sctpio_detached(int fd, int detached)
{
    struct slot *slot;
    int status = find(fd, &slot);
    if (status < 0)
        return status;
    pthread_mutex_lock(&slot->lock);
    slot->detached = (uint8_t)detached;
    pthread_mutex_unlock(&slot->lock);
    return 0;
}

uint64_t sctpio_signals(void) { return signals; }
