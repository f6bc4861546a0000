/* What the parts of the usrsctp stack share.
 *
 * contract.c implements sctpio.h. sockets.c maps descriptors to usrsctp's sockets and signals their readiness.
 * process.c starts and stops the stack and handles fork. packets.c looks at what enters and leaves by UDP. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <usrsctp.h>

#include "common.h"
#include "process.h"

#pragma GCC visibility push(hidden)

/* process.c */

/* The one lock of this stack. It is held by whoever runs code of usrsctp, and by whoever uses a slot, the
 * table of slots or `process`; a socket is looked up, used and freed under the same hold of it.
 *
 * usrsctp's own locks do not suffice: 0.9.5 frees an association twice when a packet or a timer ends it while
 * the program does so too, which crashed about once in ten thousand ends. So its threads run one at a time and
 * never during a call of ours: each has the lock except while it waits for a packet or for time to pass. That
 * also means that upcalls always come with the lock held, and that an event is never seen before what
 * belongs to it, such as the socket's error.
 *
 * Not recursive, and never taken in a child after fork, where a thread that is not there may hold it. */
extern pthread_mutex_t stack_lock;

/* Around every place where a thread of usrsctp waits. */
void before_wait(void);
void after_wait(void);

#define MOST_TRANSPORTS 8

enum phase { UNUSED, STARTING, RUNNING, FINISHED };

struct process {
    _Atomic enum phase phase;
    atomic_int forked;
    /* usrsctp's own UDP and raw sockets; fixed while its threads run. */
    int transports[MOST_TRANSPORTS], count;
    uint16_t udp_port;
};
extern struct process process;

/* Takes the lock for one call: 0, or the -errno that every call gives now, and then it is not held. */
int enter(void);
static inline void leave(void) { pthread_mutex_unlock(&stack_lock); }

int is_transport(int fd);

/* Makes usrsctp accept an address of this host as local: 1 if it did not before, 0 if it did, or -errno. */
int know_address(struct sockaddr *address);

/* sockets.c */

/* A descriptor and its socket. A slot is never freed, and is used again only after the table has stopped
 * naming it: neither a late upcall nor an old number finds another association in it. */
struct slot {
    struct socket *so; /* NULL once the stack has finished: the number stays reserved until it is closed */
    int theirs;        /* the end of a socketpair that the event loop polls: this is the descriptor */
    int ours;          /* the other end, for signalling */
    ino_t identity;    /* of `theirs`, to tell when somebody else closed it and the number was used again */
    int seen;          /* usrsctp's events when they were last looked at */
    uint8_t many;
    uint8_t readable; /* a byte lies in `theirs` */
    uint8_t blocked;  /* `theirs` was filled up */
    uint8_t silent;   /* the association was lost without an ABORT from either end */
    uint8_t detached; /* whoever has the descriptor may close it by close(2) */
    struct slot *next_free;
    struct slot *next; /* in the list of all slots */
};

/* Takes the lock and finds the open socket of a descriptor: 0 or -errno, and then the lock is not held. */
int enter_slot(int fd, struct slot **slot);

static inline void leave_slot(struct slot **slot)
{
    if (*slot)
        leave();
}

/* Begins a call on a descriptor. Every return from the function ends it. */
#define ENTER(fd)                                                      \
    struct slot *slot __attribute__((cleanup(leave_slot))) = NULL;     \
    int status = enter_slot((fd), &slot);                              \
    if (status < 0)                                                    \
        return status

/* All below expect that the lock is held. */

/* A slot with descriptors for a socket that is about to be made. They come first: a socket without one could
 * neither be used nor closed by anybody. */
int reserve(struct slot **reserved);
void give_back(struct slot *slot);

/* Puts a socket into its reserved slot: the descriptor. */
int attach(struct slot *slot, struct socket *so, int many);

/* Signals whatever usrsctp reports now. */
void signal_all(struct slot *slot);

/* After a call that found nothing to take: the descriptor is not readable until the next upcall. What usrsctp
 * still calls readable is not believed. */
void found_nothing(struct slot *slot);

/* After a call that found no room: the descriptor is not writable until usrsctp reports room. */
void found_no_room(struct slot *slot);

/* After a call on a descriptor whose socket the stack has given up: readable was signalled once for that. */
void heard_of_end(int fd);

/* The thread that polls what usrsctp does not signal; 0 or -errno. These two want the lock not held. */
int start_sweeping(void);
void stop_sweeping(void);

void abort_all(void);

/* In a child after fork, without the lock: closes its copies of a descriptor. */
int close_copies(int fd);

static inline int failed(void) { return errno ? -errno : -EIO; }

/* The number of sockaddrs in a packed array; -EINVAL if it is not one. */
static inline int count_addresses(const uint8_t *addresses, uint32_t length)
{
    int count = 0;
    for (uint32_t at = 0, step; at < length; at += step, count++)
        if ((step = whole_sockaddr(addresses + at, length - at)) == 0)
            return -EINVAL;
    return count ? count : -EINVAL;
}

#pragma GCC visibility pop
