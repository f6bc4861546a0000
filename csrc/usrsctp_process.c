/* The life of usrsctp in this process: its threads, its UDP port, fork. */
#include "usrsctp_private.h"

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

/* Debian's static library is not compiled for shared objects: what it takes of the C library's data must lie
 * in this one. */
__attribute__((visibility("hidden"))) const struct in6_addr in6addr_any = IN6ADDR_ANY_INIT;
__attribute__((visibility("hidden"))) const struct in6_addr in6addr_loopback = IN6ADDR_LOOPBACK_INIT;

struct process process;
pthread_mutex_t working = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static pthread_key_t works;
static pthread_once_t works_once = PTHREAD_ONCE_INIT;

static void stop_working(void *unused)
{
    (void)unused;
    pthread_mutex_unlock(&working);
}

/* A thread that ends gives it back, too. */
static void make_key(void) { pthread_key_create(&works, stop_working); }

void rest(void)
{
    pthread_once(&works_once, make_key);
    if (pthread_getspecific(works)) {
        pthread_setspecific(works, NULL);
        pthread_mutex_unlock(&working);
    }
}

void work(void)
{
    pthread_mutex_lock(&working);
    pthread_setspecific(works, &working);
}

/* What usrsctp's timers do between two ticks. The linker gives it this function. */
int __real_nanosleep(const struct timespec *wanted, struct timespec *left);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    rest();
    int status = __real_nanosleep(wanted, left);
    work();
    return status;
}

/* Its thread for what concerns many sockets, as a change of addresses, waits for work here. 0.9.5 does not
 * look whether there is any before it waits for the first time: what came before would lie there until the
 * next comes. So the first wait is none. The linker gives it this function. */
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
    rest();
    if (waited)
        status = __real_pthread_cond_wait(condition, mutex);
    waited = 1;
    /* Who works may want this mutex. */
    pthread_mutex_unlock(mutex);
    work();
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

static void on_fork(void)
{
    /* Its threads are gone, its locks may be held, and its port is the parent's. */
    for (int i = 0; i < process.count; i++)
        close(process.transports[i]);
    process.forked = process.started;
}

/* Finds the sockets that usrsctp has just opened: whether one has our port. It would leave them to programs
 * that are started from here, and take too little into their buffers. As root it also opens raw ones, which
 * would answer for the kernel's associations: they hear nothing any more. */
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
            /* The port lies in the same place in both families. */
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

/* usrsctp asks once, as it starts, which addresses the host has, and binds no others. Internal, but there in
 * the static library. */
struct sctp_ifa;
extern struct sctp_ifa *sctp_find_ifa_by_addr(struct sockaddr *address, uint32_t table, int locked)
    __attribute__((weak));
extern struct sctp_ifa *sctp_add_addr_to_vrf(uint32_t table, void *interface, uint32_t index, uint32_t type,
                                             const char *name, void *entry, struct sockaddr *address,
                                             uint32_t flags, int later) __attribute__((weak));

/* Gives the name of the interface that lists an address; loopback has addresses that are not listed. */
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

    if (!sctp_find_ifa_by_addr || !sctp_add_addr_to_vrf || LOCKED(sctp_find_ifa_by_addr(address, 0, 0)))
        return 0;
    find_interface(address, name);
    uint32_t index = if_nametoindex(name);
    return LOCKED(sctp_add_addr_to_vrf(0, NULL, index, 0, name, NULL, address, 0, 0)) ? 1 : -ENOMEM;
}

int sctpio_know(const uint8_t *addresses, uint32_t length)
{
    int count = count_addresses(addresses, length), status = 0;

    if (process.forked)
        return -ENOTRECOVERABLE;
    if (!process.started)
        return -ENOTCONN;
    if (count < 0)
        return count;
    for (uint32_t step; length > 0 && status >= 0; addresses += step, length -= step) {
        struct sockaddr_in6 address;
        step = sockaddr_length(addresses);
        memcpy(&address, addresses, step);
        status = know_address((struct sockaddr *)&address);
    }
    return status < 0 ? status : 0;
}

int sctpio_start(uint16_t udp_port)
{
    static int registered;
    sigset_t every, before;
    int status = 0;

    if (process.forked)
        return -ENOTRECOVERABLE;
    if (process.started)
        return -EALREADY;
    /* Signals are for Python's threads. */
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    usrsctp_init(udp_port, NULL, NULL);
    /* Else the first packet from an address of this host ends the checking of all that come after it: what
     * 0.9.5 notes of one packet stays for the next. */
    usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
    /* A peer that finds the backlog full is refused, and not left to time out. */
    usrsctp_sysctl_set_sctp_abort_if_one_2_one_hits_limit(1);
    /* As Linux has it. The others look for ever for a stream when a message is for another path. */
    usrsctp_sysctl_set_sctp_default_ss_module(SCTP_SS_FIRST_COME);
    if (!adopt_transports(udp_port)) {
        usrsctp_finish();
        status = -EADDRINUSE;
    } else {
        status = start_sweeping();
        if (status < 0)
            usrsctp_finish();
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status < 0)
        return status;
    if (!registered)
        pthread_atfork(NULL, NULL, on_fork);
    registered = 1;
    process.udp_port = udp_port;
    process.started = 1;
    return 0;
}

/* usrsctp's threads look whether they are to stop once in 100 ms, or when something comes. */
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

int sctpio_finish(uint32_t milliseconds)
{
    const struct timespec pause = {0, 2000000};
    int status = -EBUSY;

    if (!process.started || process.forked)
        return 0;
    stop_sweeping();
    abort_all();
    hurry_transports();
    for (uint32_t waited = 0;; waited += 2) {
        if (usrsctp_finish() == 0) {
            status = 0;
            break;
        }
        if (waited >= milliseconds)
            break;
        __real_nanosleep(&pause, NULL);
    }
    process.count = 0;
    process.started = 0;
    return status;
}

int sctpio_forked(void) { return process.forked; }

int sctpio_established(void)
{
    struct sctpstat statistics;
    if (!process.started || process.forked)
        return 0;
    usrsctp_get_stat(&statistics);
    return (int)statistics.sctps_currestab;
}

int sctpio_probe(void) { return process.forked ? -ENOTRECOVERABLE : 0; }
