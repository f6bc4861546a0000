/* The life of usrsctp in this process: its threads, its UDP port, fork. */
#include "shared.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define UDP_BUFFER (4 << 20)

/* Debian's static library is not position-independent: the data that it takes from the C library has to be in
 * the shared object that it is linked into. */
__attribute__((visibility("hidden"))) const struct in6_addr in6addr_any = IN6ADDR_ANY_INIT;
__attribute__((visibility("hidden"))) const struct in6_addr in6addr_loopback = IN6ADDR_LOOPBACK_INIT;

struct process process;
pthread_mutex_t stack_lock = PTHREAD_MUTEX_INITIALIZER;

/* Lets one thread at a time start or finish the stack. Taken before stack_lock. */
static pthread_mutex_t life = PTHREAD_MUTEX_INITIALIZER;
static int threads_run;

int enter(void)
{
    int status;

    if (process.forked)
        return -ENOTRECOVERABLE;
    pthread_mutex_lock(&stack_lock);
    switch (process.phase) {
    case RUNNING:
        return 0;
    case FINISHED:
        status = -ESHUTDOWN;
        break;
    default:
        status = -ENOTCONN;
    }
    pthread_mutex_unlock(&stack_lock);
    return status;
}

/* The threads of usrsctp. The linker gives usrsctp the functions __wrap_... in place of the C library's (see
 * build_usrsctp.py; recvmsg is in packets.c). */

/* Not NULL in a thread that has the lock. */
static pthread_key_t has_lock;
static pthread_once_t has_lock_once = PTHREAD_ONCE_INIT;

static void on_thread_end(void *unused)
{
    (void)unused;
    pthread_mutex_unlock(&stack_lock);
}

static void make_key(void) { pthread_key_create(&has_lock, on_thread_end); }

void before_wait(void)
{
    pthread_once(&has_lock_once, make_key);
    if (pthread_getspecific(has_lock)) {
        pthread_setspecific(has_lock, NULL);
        pthread_mutex_unlock(&stack_lock);
    }
}

void after_wait(void)
{
    pthread_mutex_lock(&stack_lock);
    pthread_setspecific(has_lock, &stack_lock);
}

/* The timer thread sleeps between two ticks. */
int __real_nanosleep(const struct timespec *wanted, struct timespec *left);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    before_wait();
    int status = __real_nanosleep(wanted, left);
    after_wait();
    return status;
}

/* The iterator thread, which handles what concerns many sockets (a change of addresses, say), waits for work
 * here. 0.9.5 waits once before it looks whether there is any, so that earlier work would lie there until more
 * arrives: the first wait is skipped. */
int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    static _Thread_local int waited;
    char name[16] = "";
    int status = 0;

    prctl(PR_GET_NAME, name);
    if (strcmp(name, "SCTP iterator") != 0)
        return __real_pthread_cond_wait(condition, mutex);
    before_wait();
    if (waited)
        status = __real_pthread_cond_wait(condition, mutex);
    waited = 1;
    /* Whoever has the stack's lock may want this mutex: the stack's lock comes first. */
    pthread_mutex_unlock(mutex);
    after_wait();
    pthread_mutex_lock(mutex);
    return status;
}

int is_transport(int fd)
{
    for (int i = 0; i < process.count; i++)
        if (process.transports[i] == fd)
            return 1;
    return 0;
}

static void in_child(void)
{
    if (process.phase == UNUSED)
        return;
    process.forked = 1;
    /* Else the child would keep the parent's UDP port in use. */
    for (int i = 0; i < process.count; i++)
        close(process.transports[i]);
}

/* Finds the sockets that usrsctp has just opened, and tells whether one of them has our port. usrsctp lets
 * programs that are started from here inherit them, and leaves their buffers small. As root it also opens raw
 * sockets, which would answer packets of the kernel's associations: those are made deaf. */
static int adopt_transports(uint16_t udp_port)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &drop};
    int found = 0, highest = fcntl(0, F_DUPFD_CLOEXEC, 0);

    if (highest >= 0)
        close(highest);
    process.count = 0;
    for (int fd = 0; fd < highest + 16 && process.count < MOST_TRANSPORTS; fd++) {
        int type = 0, protocol = 0, size = UDP_BUFFER;
        socklen_t length = sizeof type, name_length = sizeof(struct sockaddr_in6);
        struct sockaddr_in6 name;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0)
            continue;
        length = sizeof protocol;
        getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
        if (type == SOCK_RAW && protocol == IPPROTO_SCTP) {
            setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
        } else {
            if (type != SOCK_DGRAM || protocol != IPPROTO_UDP ||
                getsockname(fd, (struct sockaddr *)&name, &name_length) < 0)
                continue;
            /* The port is at the same offset in both families. */
            if ((name.sin6_family != AF_INET && name.sin6_family != AF_INET6) ||
                ntohs(name.sin6_port) != udp_port)
                continue;
            found = 1;
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        process.transports[process.count++] = fd;
    }
    return found;
}

/* usrsctp asks once, when it starts, which addresses the host has, and binds no others. These functions are
 * internal, but present in the static library. */
struct sctp_ifa;
extern struct sctp_ifa *sctp_find_ifa_by_addr(struct sockaddr *address, uint32_t table, int locked)
    __attribute__((weak));
extern struct sctp_ifa *sctp_add_addr_to_vrf(uint32_t table, void *interface, uint32_t index, uint32_t type,
                                             const char *name, void *entry, struct sockaddr *address,
                                             uint32_t flags, int later) __attribute__((weak));

/* Gives the name of the interface that lists an address. Those that none lists (127.0.0.2) are loopback's. */
static void find_interface(const struct sockaddr *address, char name[IF_NAMESIZE])
{
    struct ifaddrs *list = NULL;

    strcpy(name, "lo");
    if (getifaddrs(&list) < 0)
        return;
    for (const struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr || entry->ifa_addr->sa_family != address->sa_family)
            continue;
        if (address->sa_family == AF_INET
                ? ((const struct sockaddr_in *)entry->ifa_addr)->sin_addr.s_addr ==
                      ((const struct sockaddr_in *)address)->sin_addr.s_addr
                : IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)entry->ifa_addr)->sin6_addr,
                                     &((const struct sockaddr_in6 *)address)->sin6_addr))
            snprintf(name, IF_NAMESIZE, "%s", entry->ifa_name);
    }
    freeifaddrs(list);
}

int know_address(struct sockaddr *address)
{
    char name[IF_NAMESIZE];

    if (!sctp_find_ifa_by_addr || !sctp_add_addr_to_vrf || sctp_find_ifa_by_addr(address, 0, 0))
        return 0;
    find_interface(address, name);
    return sctp_add_addr_to_vrf(0, NULL, if_nametoindex(name), 0, name, NULL, address, 0, 0) ? 1 : -ENOMEM;
}

int sctpio_know(const uint8_t *addresses, uint32_t length)
{
    int count = count_addresses(addresses, length);
    int status = enter();

    if (status < 0)
        return status;
    if (count < 0)
        status = count;
    for (uint32_t step; length > 0 && status >= 0; addresses += step, length -= step) {
        struct sockaddr_in6 address;
        step = sockaddr_length(addresses);
        memcpy(&address, addresses, step);
        status = know_address((struct sockaddr *)&address);
    }
    leave();
    return status < 0 ? status : 0;
}

static int start(uint16_t udp_port)
{
    static int registered;
    int status;

    process.phase = STARTING;
    if (!registered)
        pthread_atfork(NULL, NULL, in_child);
    registered = 1;
    usrsctp_init(udp_port, NULL, NULL);
    /* Otherwise a packet without a checksum from an address of this host would be believed, and the checking
     * of all packets after it would end: 0.9.5 keeps for the next packet what it noted of one. */
    usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
    /* A peer that finds the backlog full is refused, rather than left to time out. */
    usrsctp_sysctl_set_sctp_abort_if_one_2_one_hits_limit(1);
    /* As on Linux. The other schedulers search for a stream for ever when a message is for another path. */
    usrsctp_sysctl_set_sctp_default_ss_module(SCTP_SS_FIRST_COME);
    status = adopt_transports(udp_port) ? start_sweeping() : -EADDRINUSE;
    if (status < 0) {
        usrsctp_finish();
        process.count = 0;
        process.phase = UNUSED;
        return status;
    }
    threads_run = 1;
    process.udp_port = udp_port;
    process.phase = RUNNING;
    return 0;
}

int sctpio_start(uint16_t udp_port)
{
    sigset_t all, before;
    int status = -EALREADY;

    if (process.forked)
        return -ENOTRECOVERABLE;
    pthread_mutex_lock(&life);
    if (!threads_run) {
        /* Signals are for Python's threads. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        status = start(udp_port);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_mutex_unlock(&life);
    return status;
}

/* usrsctp's threads look whether they should stop every 100 ms, or when a packet arrives. */
static void hurry_transports(void)
{
    struct timeval soon = {0, 1000};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    to4.sin_port = to6.sin6_port = htons(process.udp_port);
    for (int i = 0; i < process.count; i++) {
        int fd = process.transports[i], family = 0, type = 0;
        socklen_t length = sizeof type;
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
        if (type == SOCK_RAW)
            shutdown(fd, SHUT_RDWR);
        else if (family == AF_INET)
            sendto(fd, "", 1, MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof to4);
        else
            sendto(fd, "", 1, MSG_DONTWAIT, (struct sockaddr *)&to6, sizeof to6);
    }
}

/* Without stack_lock: usrsctp_finish joins threads that need it. No call is in usrsctp any more. */
static int stop_threads(uint32_t milliseconds)
{
    const struct timespec pause = {0, 2000000};

    stop_sweeping();
    hurry_transports();
    for (uint32_t waited = 0; usrsctp_finish() < 0; waited += 2) {
        if (waited >= milliseconds)
            return -EBUSY;
        __real_nanosleep(&pause, NULL);
    }
    process.count = 0;
    threads_run = 0;
    return 0;
}

int sctpio_finish(uint32_t milliseconds)
{
    int status = 0;

    if (process.forked)
        return 0;
    pthread_mutex_lock(&life);
    /* The phase changes first, and under the lock: who has it is the last one in a call, and who waits for it
     * finds -ESHUTDOWN. */
    if (enter() == 0) {
        process.phase = FINISHED;
        abort_all();
        leave();
        status = stop_threads(milliseconds);
    }
    pthread_mutex_unlock(&life);
    return status;
}

int sctpio_forked(void) { return process.forked; }

int sctpio_established(void)
{
    struct sctpstat statistics;

    if (enter() < 0)
        return 0;
    usrsctp_get_stat(&statistics);
    leave();
    return (int)statistics.sctps_currestab;
}

int sctpio_probe(void) { return process.forked ? -ENOTRECOVERABLE : 0; }
