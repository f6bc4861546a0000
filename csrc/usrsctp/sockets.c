/* The sockets of the usrsctp stack, and their readiness.
 *
 * A descriptor is one end of a socketpair, so that any event loop can poll it like a kernel's socket: it is
 * readable while a byte lies in it, and writable unless it was filled up. The other end is ours.
 *   - Readable and writable are signalled by usrsctp's upcalls. A call that finds nothing to take, or no room,
 *     withdraws that; as calls and upcalls exclude each other, nothing gets lost in between.
 *   - usrsctp makes no upcall for what its timers do (a path fails, a message expires), nor for room on a
 *     one-to-many socket: a thread of ours, the sweeper, looks at all sockets every 20 ms.
 * No Python code runs in usrsctp's threads or in the sweeper. */
#include "shared.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS (1 << 20)
#define SWEEP_NANOSECONDS 20000000L

/* Sockets that are looked at before others may have the lock. */
#define SWEEP_AT_ONCE 64

static struct slot *slots[DESCRIPTORS];
static struct slot *free_slots, *all_slots;
static _Atomic uint64_t signals;

static pthread_cond_t wake;
static int stopping;
static pthread_t sweeper;

/* Readiness */

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

void found_no_room(struct slot *slot)
{
    static const uint8_t filling[4096];
    slot->seen = usrsctp_get_events(slot->so);
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

static void signal_events(struct slot *slot, int events)
{
    if (events & (SCTP_EVENT_READ | SCTP_EVENT_ERROR))
        raise_readable(slot);
    if (events & (SCTP_EVENT_WRITE | SCTP_EVENT_ERROR))
        unblock(slot);
}

void signal_all(struct slot *slot)
{
    slot->seen = usrsctp_get_events(slot->so);
    signal_events(slot, slot->seen);
    /* usrsctp never reports a one-to-many socket as writable. */
    if (slot->many)
        unblock(slot);
}

static void signal_news(struct slot *slot)
{
    int before = slot->seen;
    slot->seen = usrsctp_get_events(slot->so);
    signal_events(slot, slot->seen & ~before);
}

void found_nothing(struct slot *slot)
{
    lower_readable(slot);
    slot->seen = usrsctp_get_events(slot->so);
}

static void on_upcall(struct socket *so, void *argument, int flags)
{
    struct slot *slot = argument;
    (void)flags;
    if (slot->so == so)
        signal_all(slot);
}

/* Slots */

static int identify(int fd, ino_t *identity)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    *identity = status.st_ino;
    return 0;
}

/* Whether the number still is the descriptor that we made, and not one that somebody else opened later. */
static int still_ours(const struct slot *slot)
{
    ino_t now;
    return identify(slot->theirs, &now) == 0 && now == slot->identity;
}

static struct slot *new_slot(void)
{
    struct slot *slot = free_slots;
    if (slot) {
        free_slots = slot->next_free;
    } else if ((slot = calloc(1, sizeof *slot)) != NULL) {
        slot->next = all_slots;
        all_slots = slot;
    }
    return slot;
}

static void recycle(struct slot *slot)
{
    slot->next_free = free_slots;
    free_slots = slot;
}

int reserve(struct slot **reserved)
{
    int ends[2], least = 1, status;
    struct slot *slot = NULL;
    ino_t identity = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    status = ends[0] < DESCRIPTORS ? identify(ends[0], &identity) : -EMFILE;
    if (status == 0 && !(slot = new_slot()))
        status = -ENOMEM;
    if (status < 0) {
        close(ends[0]);
        close(ends[1]);
        return status;
    }
    /* As small as can be: then one small write fills it up. */
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    slot->theirs = ends[0];
    slot->ours = ends[1];
    slot->identity = identity;
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

/* Ends the socket of a slot; the descriptor's number stays reserved. */
static void close_socket(struct slot *slot)
{
    struct socket *so = slot->so;
    slot->so = NULL;
    if (so) {
        /* It may outlive this for as long as its association takes to end. */
        usrsctp_set_upcall(so, NULL, NULL);
        usrsctp_close(so);
    }
}

/* Takes a slot out of the table. The descriptor is whoever's closes it. */
static void retire(struct slot *slot)
{
    slots[slot->theirs] = NULL;
    close_socket(slot);
    close(slot->ours);
    recycle(slot);
}

int attach(struct slot *slot, struct socket *so, int many)
{
    int fd = slot->theirs;

    /* It was given away and closed by somebody else, or its number could not have come up again. */
    if (slots[fd])
        retire(slots[fd]);
    slots[fd] = slot;
    slot->so = so;
    slot->many = (uint8_t)many;
    usrsctp_set_non_blocking(so, 1);
    usrsctp_set_upcall(so, on_upcall, slot);
    signal_all(slot);
    return fd;
}

static struct slot *look_up(int fd) { return fd >= 0 && fd < DESCRIPTORS ? slots[fd] : NULL; }

int enter_slot(int fd, struct slot **found)
{
    int status = enter();
    struct slot *slot;

    if (status < 0)
        return status;
    slot = look_up(fd);
    if (slot && slot->detached && !still_ours(slot)) {
        retire(slot);
        slot = NULL;
    }
    if (!slot || !slot->so) {
        leave();
        return -EBADF;
    }
    *found = slot;
    return 0;
}

void heard_of_end(int fd)
{
    struct slot *slot;
    pthread_mutex_lock(&stack_lock);
    slot = look_up(fd);
    if (slot && !slot->so)
        lower_readable(slot);
    pthread_mutex_unlock(&stack_lock);
}

int close_copies(int fd)
{
    struct slot *slot = look_up(fd);
    int mine;

    if (!slot)
        return -EBADF;
    slots[fd] = NULL;
    mine = still_ours(slot);
    close(slot->ours);
    if (!mine)
        return -EBADF;
    return close(fd) < 0 ? -errno : 0;
}

int sctpio_close(int fd)
{
    struct slot *slot;
    int status = -EBADF;

    if (process.forked)
        return close_copies(fd);
    pthread_mutex_lock(&stack_lock);
    slot = look_up(fd);
    if (slot) {
        int mine = still_ours(slot);
        retire(slot);
        if (mine)
            status = close(fd) < 0 ? -errno : 0;
    }
    pthread_mutex_unlock(&stack_lock);
    return status;
}

int sctpio_detached(int fd, int detached)
{
    ENTER(fd);
    if (!still_ours(slot)) {
        retire(slot);
        return -EBADF;
    }
    slot->detached = detached != 0;
    return 0;
}

uint64_t sctpio_signals(void) { return signals; }

/* The sweeper */

static void sweep_one(struct slot *slot)
{
    struct pollfd end = {.fd = slot->ours, .events = POLLRDHUP};

    if (!slot->so)
        return;
    if (slot->detached && poll(&end, 1, 0) > 0) {
        /* Closed by whoever had it. */
        retire(slot);
        return;
    }
    signal_news(slot);
    /* There is no upcall for room alone on a one-to-many socket: who waits for it tries now and then. */
    if (slot->many)
        unblock(slot);
}

static void sweep_all(void)
{
    int looked_at = 0;
    for (struct slot *slot = all_slots; slot && !stopping; slot = slot->next) {
        sweep_one(slot);
        if (++looked_at % SWEEP_AT_ONCE == 0) {
            pthread_mutex_unlock(&stack_lock);
            pthread_mutex_lock(&stack_lock);
        }
    }
}

static void *sweep(void *nothing)
{
    struct timespec until;
    (void)nothing;
    pthread_mutex_lock(&stack_lock);
    while (!stopping) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += SWEEP_NANOSECONDS;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&wake, &stack_lock, &until);
        sweep_all();
    }
    pthread_mutex_unlock(&stack_lock);
    return NULL;
}

int start_sweeping(void)
{
    pthread_condattr_t attributes;

    /* A clock that nobody sets. */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attributes);
    pthread_condattr_destroy(&attributes);
    stopping = 0;
    return -pthread_create(&sweeper, NULL, sweep, NULL);
}

void stop_sweeping(void)
{
    pthread_mutex_lock(&stack_lock);
    stopping = 1;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&stack_lock);
    pthread_join(sweeper, NULL);
    pthread_cond_destroy(&wake);
}

void abort_all(void)
{
    const struct linger abortive = {1, 0};

    for (struct slot *slot = all_slots; slot; slot = slot->next) {
        if (!slot->so)
            continue;
        usrsctp_setsockopt(slot->so, SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
        close_socket(slot);
        raise_readable(slot);
        unblock(slot);
    }
}
