/* What the parts of the usrsctp stack share. usrsctp.c fulfils the contract; usrsctp_sockets.c has the
 * sockets and their readiness, usrsctp_process.c the life of the stack in this process, usrsctp_packets.c
 * what goes to the UDP port and comes from there. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <usrsctp.h>

#include "process.h"
#include "sctpio.h"

#pragma GCC visibility push(hidden)

/* usrsctp_process.c */

#define MOST_TRANSPORTS 8

struct process {
    atomic_int started, forked;
    int transports[MOST_TRANSPORTS], count;
    uint16_t udp_port;
};
extern struct process process;

/* usrsctp 0.9.5 frees an association twice where a packet or a timer ends it while the program does: crashes,
 * once in some ten thousand ends. So its threads work one at a time, and not while a call of ours is in it:
 * each takes this lock as it has received or slept, and gives it back as it receives or sleeps again. Then an
 * event is also never seen before what belongs to it, as the socket's error. */
extern pthread_mutex_t working;
void rest(void);
void work(void);

/* The value of a call into usrsctp; errno is the call's. Not under a slot's lock, which upcalls take. */
#define LOCKED(call)                      \
    __extension__({                       \
        pthread_mutex_lock(&working);     \
        __typeof__(call) value_ = (call); \
        pthread_mutex_unlock(&working);   \
        value_;                           \
    })

/* Whether a descriptor is one of usrsctp's own sockets: they are few, and set once. */
int is_transport(int fd);

/* Makes an address of this host one that usrsctp takes: 1 if it was not, 0 if it was, or -errno. */
int know_address(struct sockaddr *address);

/* usrsctp_sockets.c */

struct slot {
    pthread_mutex_t lock;
    _Atomic(struct socket *) so; /* NULL: free. All else is valid only while it is not. */
    int theirs;                  /* what the loop polls */
    int ours;
    int seen; /* usrsctp's events when they were last looked at */
    uint8_t many;
    uint8_t readable; /* a byte lies in theirs */
    uint8_t blocked;  /* theirs is full */
    uint8_t silent;   /* the association was lost, and nobody aborted it; of who receives alone */
    uint8_t detached; /* whoever has the descriptor may just close it */
    struct slot *next_free;
    struct slot *next; /* of all that were ever made; slots are never freed: a late upcall may have one */
};

/* The slot of a descriptor: 0 or -errno. */
int find(int fd, struct slot **slot);

/* A slot with its descriptors, for a socket that is about to be made: so that there is no socket which nobody
 * can have, only because there is no descriptor for it. */
int reserve(struct slot **reserved);
void give_back(struct slot *slot);

/* The descriptor of a socket that has just been made. */
int attach(struct slot *slot, struct socket *so, int many);

/* Tells the loop what is there. */
void look_at(struct slot *slot);

/* After a call that found nothing to take: whether something has come since, and the call is to be repeated.
 * The second time what usrsctp calls readable is not believed, until an upcall says it again. */
int nothing_there(struct slot *slot, int turn);

/* Makes the descriptor writable or not. */
void set_blocked(struct slot *slot, int blocked);

/* The thread that looks for what timers did; 0 or -errno. */
int start_sweeping(void);
void stop_sweeping(void);
void abort_all(void);

static inline int failed(void) { return errno ? -errno : -EIO; }

static inline uint32_t sockaddr_length(const void *address)
{
    sa_family_t family;
    memcpy(&family, address, sizeof family);
    return family == AF_INET    ? sizeof(struct sockaddr_in)
           : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                : 0;
}

/* The sockaddrs of a packed array; -EINVAL when they are not that. */
int count_addresses(const uint8_t *addresses, uint32_t length);

#pragma GCC visibility pop
