/* The usrsctp stack under threads: any of its calls at any time, while other threads finish the stack.
 *
 * usrsctp_threads SECONDS: starts the stack, lets the workers run, finishes it under them, and begins again.
 * Each message says whose it is. The program aborts when one reaches somebody else, when a call returns what
 * its header does not allow, or when a sanitizer reports something.
 *
 * usrsctp_threads lie: does what each sanitizer has to report. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <usrsctp.h>

#include "sctpio.h"

#include "process.h"

#define TALKERS 3
#define NUMBERS 64
#define ARENA (64 * 1024)
#define FOR_ANYBODY UINT32_MAX

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

static uint16_t udp_port;
static _Atomic uint32_t received, opened, failed, closed_under, reused;

/* Descriptors that were open at some time; many have been closed since. */
static atomic_int numbers[NUMBERS];

struct worker {
    pthread_t thread;
    uint32_t id;
    unsigned int seed;
    uint8_t arena[ARENA];
    sctpio_record records[16];
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Not by nanosleep, which is usrsctp's own here: the linker replaces it in the whole program. */
static void nap(int milliseconds) { poll(NULL, 0, milliseconds); }

static uint32_t any(struct worker *worker, uint32_t below) { return (uint32_t)rand_r(&worker->seed) % below; }

static uint16_t free_udp_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
    close(fd);
    return ntohs(name.sin_port);
}

static int is_closed(int code) { return code == -EBADF || code == -ESHUTDOWN; }

static void publish(struct worker *worker, int fd) { numbers[any(worker, NUMBERS)] = fd; }

/* A bound socket and its address, or -errno. */
static int open_bound(struct worker *worker, int many, struct sockaddr_in *name)
{
    uint32_t length = sizeof *name;
    int status, fd = sctpio_open(AF_INET, many);

    if (fd < 0)
        return fd;
    opened++;
    publish(worker, fd);
    memset(name, 0, sizeof *name);
    name->sin_family = AF_INET;
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    status = sctpio_know((uint8_t *)name, sizeof *name);
    if (status == 0)
        status = sctpio_bindx(fd, (uint8_t *)name, sizeof *name, 0);
    if (status == 0)
        status = sctpio_name(fd, (uint8_t *)name, &length);
    if (status == 0)
        status = sctpio_remote_udp_port(fd, udp_port);
    if (status == 0) {
        int on = 1;
        status = sctpio_setsockopt(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, (uint8_t *)&on, sizeof on);
    }
    if (status == 0)
        return fd;
    sctpio_close(fd);
    return status;
}

static int send_tagged(int fd, int32_t association, uint32_t id, uint32_t index)
{
    uint32_t message[64] = {id, index};
    return sctpio_send_plain(fd, association, (uint8_t *)message, sizeof message, (uint16_t)(index % 3), 0, id,
                             index);
}

/* Receives a batch: the number of messages, or -errno where the association is over. */
static int receive_tagged(struct worker *worker, int fd, int32_t *association)
{
    int32_t state;
    int count = sctpio_receive(fd, worker->arena, ARENA, worker->records, 16, &state), messages = 0;

    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        const sctpio_record *record = &worker->records[i];
        uint32_t tag;
        if (record->msg_flags & SCTPIO_NOTIFICATION)
            continue;
        memcpy(&tag, worker->arena + record->offset, sizeof tag);
        CHECK(tag == worker->id || tag == FOR_ANYBODY);
        CHECK(tag == record->ppid);
        if (association)
            *association = record->association_id;
        received++;
        messages++;
    }
    if (messages || state == SCTPIO_MORE || state == -EAGAIN)
        return messages;
    return state == SCTPIO_EOF ? -EPIPE : state;
}

static int wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    return poll(&one, 1, 200);
}

/* Sends from one socket to another until all came, or something ended. */
static int talk(struct worker *worker, int from, int32_t association, int to, uint32_t count)
{
    uint32_t sent = 0, got = 0;
    double began = now();

    while (got < count && now() - began < 5) {
        int code;
        while (sent < count && (code = send_tagged(from, association, worker->id, sent)) == 0)
            sent++;
        if (sent < count && code != -EAGAIN)
            return code;
        code = receive_tagged(worker, to, NULL);
        if (code < 0)
            return code;
        got += (uint32_t)code;
        if (code == 0)
            wait_for(to, POLLIN);
    }
    return got < count ? -ETIMEDOUT : 0;
}

/* Another thread closes the socket that this one is using. */
static void *close_it(void *argument)
{
    sctpio_close((int)(intptr_t)argument);
    return NULL;
}

static void close_under(struct worker *worker, int fd)
{
    pthread_t other;
    int code = 0;

    CHECK(pthread_create(&other, NULL, close_it, (void *)(intptr_t)fd) == 0);
    /* By now the number may be somebody else's socket, who is not to count these. */
    for (uint32_t i = 0; i < 100 && (code == 0 || code == -EAGAIN); i++)
        code = send_tagged(fd, 0, FOR_ANYBODY, any(worker, 1000));
    pthread_join(other, NULL);
    closed_under++;
}

static int one_to_one(struct worker *worker)
{
    struct sockaddr_in name, own;
    uint8_t source[28];
    uint32_t length = sizeof source;
    int32_t association;
    int client = -1, server = -1, listener = open_bound(worker, 0, &name), status = listener;

    if (listener < 0)
        return listener;
    status = sctpio_listen(listener, 5);
    if (status == 0)
        client = status = open_bound(worker, 0, &own);
    if (client >= 0) {
        status = sctpio_connectx(client, (uint8_t *)&name, sizeof name, &association);
        for (int tries = 0; (status == 0 || status == -EINPROGRESS) && tries < 20 && server < 0; tries++) {
            wait_for(listener, POLLIN);
            server = sctpio_accept(listener, source, &length);
            if (server < 0 && server != -EAGAIN)
                status = server;
        }
    }
    if (server >= 0) {
        publish(worker, server);
        status = talk(worker, client, 0, server, 1 + any(worker, 200));
        if (status == 0)
            status = talk(worker, server, 0, client, 1 + any(worker, 20));
        if (any(worker, 3) == 0)
            sctpio_abort_on_close(server);
        else if (any(worker, 2) == 0)
            sctpio_shutdown(server);
        sctpio_close(server);
    }
    if (client >= 0 && status == 0 && any(worker, 2) == 0)
        close_under(worker, client);
    else if (client >= 0)
        sctpio_close(client);
    sctpio_close(listener);
    return status;
}

static int one_to_many(struct worker *worker)
{
    struct sockaddr_in name, own;
    int32_t association = 0, found;
    int client = -1, peeled = -1, server = open_bound(worker, 1, &name), status = server;

    if (server < 0)
        return server;
    status = sctpio_listen(server, 5);
    if (status == 0)
        client = status = open_bound(worker, 1, &own);
    if (client >= 0) {
        status = sctpio_connectx(client, (uint8_t *)&name, sizeof name, &found);
        if (status == 0 || status == -EINPROGRESS)
            status = send_tagged(client, found, worker->id, 0);
        for (int tries = 0; status == 0 && tries < 20 && association == 0; tries++) {
            wait_for(server, POLLIN);
            int code = receive_tagged(worker, server, &association);
            status = code < 0 ? code : 0;
        }
    }
    if (status == 0 && association) {
        status = talk(worker, client, found, server, 1 + any(worker, 50));
        if (status == 0)
            status = sctpio_find(server, (uint8_t *)&own, sizeof own, &found);
        if (status == 0)
            peeled = status = sctpio_peeloff(server, association);
        if (peeled >= 0) {
            publish(worker, peeled);
            status = talk(worker, peeled, 0, client, 1 + any(worker, 50));
            sctpio_close(peeled);
        }
    }
    if (client >= 0)
        sctpio_close(client);
    sctpio_close(server);
    return status;
}

static void *talker(void *argument)
{
    struct worker *worker = argument;
    for (;;) {
        int status = any(worker, 3) ? one_to_one(worker) : one_to_many(worker);
        if (status == -ESHUTDOWN)
            break;
        if (status < 0)
            failed++;
    }
    return NULL;
}

/* A socket that is given away, closed by close(2), and whose number is somebody else's then. */
static int give_away(struct worker *worker)
{
    struct sockaddr_in name;
    int32_t state;
    uint8_t byte;
    int ends[2], status, fd = open_bound(worker, 0, &name);

    if (fd < 0)
        return fd;
    status = sctpio_detached(fd, 1);
    if (status < 0) {
        sctpio_close(fd);
        return status;
    }
    close(fd);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    if (ends[0] == fd) {
        reused++;
        status = send_tagged(fd, 0, FOR_ANYBODY, 0);
        CHECK(is_closed(status));
        status = sctpio_receive(fd, worker->arena, ARENA, worker->records, 16, &state);
        CHECK(status == 0 && is_closed(state));
        CHECK(sctpio_detached(fd, 0) < 0);
        if (any(worker, 2))
            nap(30);
        CHECK(sctpio_close(fd) == -EBADF);
        CHECK(recv(ends[1], &byte, 1, 0) < 0 && errno == EAGAIN);
        CHECK(send(fd, "", 1, 0) == 1 && recv(ends[1], &byte, 1, 0) == 1);
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* Asks about all descriptors, closed ones too. */
static void *meddler(void *argument)
{
    struct worker *worker = argument;
    for (;;) {
        uint8_t value[1024] = {0};
        uint32_t length = sizeof value;
        int status, fd = numbers[any(worker, NUMBERS)];
        switch (any(worker, 6)) {
        case 0:
            status = sctpio_name(fd, value, &length);
            break;
        case 1:
            status = sctpio_addresses(fd, 0, 1, value, &length);
            break;
        case 2:
            status = sctpio_addresses(fd, 0, 0, value, &length);
            break;
        case 3:
            length = sizeof(struct sctp_status);
            status = sctpio_getsockopt(fd, IPPROTO_SCTP, SCTP_STATUS, value, &length);
            break;
        case 4:
            status = sctpio_established();
            break;
        default:
            status = give_away(worker);
        }
        CHECK(status != -ENOTRECOVERABLE);
        if (status == -ESHUTDOWN)
            break;
    }
    return NULL;
}

/* Two threads finish the stack: the second waits until the first has. */
static void *finisher(void *unused)
{
    (void)unused;
    CHECK(sctpio_finish(2000) == 0);
    return NULL;
}

static void *count_up(void *number)
{
    for (int i = 0; i < 1000; i++)
        ++*(volatile int *)number;
    return NULL;
}

static int lie(void)
{
    static int *volatile number; /* volatile, or the compiler sees it too */
    pthread_t other;
    number = calloc(1, sizeof *number);
    CHECK(number && pthread_create(&other, NULL, count_up, number) == 0);
    count_up(number);
    pthread_join(other, NULL);
    free(number);
    return *number != 0;
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "lie") == 0)
        return lie();
    static struct worker workers[TALKERS + 2];
    double until = now() + (count > 1 ? atof(arguments[1]) : 5);
    uint32_t rounds = 0;
    pthread_t other;

    CHECK(sctpio_open(AF_INET, 0) == -ENOTCONN);
    for (; now() < until; rounds++) {
        uint32_t last = sizeof workers / sizeof *workers;
        udp_port = free_udp_port();
        int status = sctpio_start(udp_port);
        if (status == -EADDRINUSE)
            continue;
        CHECK(status == 0 && sctpio_start(udp_port) == -EALREADY);
        for (uint32_t i = 0; i < last; i++) {
            workers[i].id = i + 1;
            workers[i].seed = rounds * last + i;
            CHECK(pthread_create(&workers[i].thread, NULL, i < TALKERS ? talker : meddler, &workers[i]) == 0);
        }
        nap(100 * (1 + (int)(rounds % 5)));
        CHECK(pthread_create(&other, NULL, finisher, NULL) == 0);
        CHECK(sctpio_finish(2000) == 0);
        pthread_join(other, NULL);
        CHECK(sctpio_open(AF_INET, 0) == -ESHUTDOWN);
        for (uint32_t i = 0; i < last; i++)
            pthread_join(workers[i].thread, NULL);
    }
    printf("%u rounds: %u sockets, %u messages, %u talks failed, %u closed by another thread, %u numbers reused\n",
           rounds, opened, received, failed, closed_under, reused);
    return 0;
}
