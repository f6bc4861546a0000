/* The yardstick: what a plain C program does with the kernel's SCTP sockets.
 *
 * Non-blocking sockets, epoll, one recvmsg or sendmsg for each message, with SCTP_RCVINFO read and SCTP_SNDINFO
 * written; form=batch: recvmmsg and sendmmsg; form=bundle: the same, and all but the last of a batch are sent with
 * MSG_MORE, so that they share packets. See common.py for the words and the protocol. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "run.h"

struct control {
    _Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct sctp_rcvinfo))];
};

/* A socket, and where its message goes that is not whole yet. */
struct source {
    int fd;
    size_t have;
    char *data;
};

struct message {
    char *data;
    size_t size;
    struct sctp_rcvinfo info;
};

enum { PART = 0, NOTHING = -1, END = -2 }; /* what reading gave, if not messages */

static size_t room; /* bytes of a receive buffer */

static void set(int fd, int level, int name, int value)
{
    must(setsockopt(fd, level, name, &value, sizeof value) == 0, "setsockopt");
}

static int make(const struct run *run, int type)
{
    struct sctp_initmsg init = {.sinit_num_ostreams = (uint16_t)run->streams, .sinit_max_instreams = 64};
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_SCTP);
    must(fd >= 0, "socket");
    set(fd, SOL_SOCKET, SO_SNDBUF, run->send_buffer);
    set(fd, SOL_SOCKET, SO_RCVBUF, run->receive_buffer);
    set(fd, IPPROTO_SCTP, SCTP_NODELAY, 1);
    set(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, 1);
    must(setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof init) == 0, "SCTP_INITMSG");
    return fd;
}

static void abort_it(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0, "SO_LINGER");
    close(fd);
}

static struct sockaddr_in address_of(const struct run *run)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)run->port)};
    must(inet_pton(AF_INET, run->address, &address.sin_addr) == 1, "address");
    return address;
}

static void watch(int epoll, struct source *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, source->fd, &event) == 0, "epoll_ctl");
}

static void wait_until(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    must(poll(&one, 1, -1) == 1, "poll");
}

/* --- receiving */

static void read_info(struct msghdr *header, struct sctp_rcvinfo *info)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control))
        if (control->cmsg_level == IPPROTO_SCTP && control->cmsg_type == SCTP_RCVINFO) {
            memcpy(info, CMSG_DATA(control), sizeof *info);
            info->rcv_ppid = ntohl(info->rcv_ppid);
        }
}

/* 1 for a message, or PART, NOTHING, END. */
static int get(struct source *source, struct message *message)
{
    struct control control;
    struct iovec part = {source->data + source->have, room - source->have};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(source->fd, &header, 0);

    if (got < 0 && errno == EAGAIN)
        return NOTHING;
    must(got >= 0, "recvmsg");
    if (got == 0)
        return END;
    if (header.msg_flags & MSG_NOTIFICATION) {
        union sctp_notification *event = (union sctp_notification *)source->data;
        check(event->sn_header.sn_type == SCTP_ASSOC_CHANGE, "no other event was asked for");
        return event->sn_assoc_change.sac_state == SCTP_SHUTDOWN_COMP ? END : PART;
    }
    source->have += (size_t)got;
    if (!(header.msg_flags & MSG_EOR))
        return PART;
    read_info(&header, &message->info);
    message->data = source->data;
    message->size = source->have;
    source->have = 0;
    return 1;
}

/* The same with recvmmsg: the number of whole messages. */
static int get_many(struct source *source, struct message *messages)
{
    static struct mmsghdr headers[BATCH];
    static struct control controls[BATCH];
    static struct iovec parts[BATCH];
    int whole = 0, got;

    for (int number = 0; number < BATCH; number++) {
        size_t have = number ? 0 : source->have;
        parts[number] = (struct iovec){source->data + (size_t)number * room + have, room - have};
        headers[number].msg_hdr = (struct msghdr){.msg_iov = &parts[number], .msg_iovlen = 1,
            .msg_control = &controls[number], .msg_controllen = sizeof controls[number]};
    }
    got = recvmmsg(source->fd, headers, BATCH, 0, NULL);
    if (got < 0 && errno == EAGAIN)
        return NOTHING;
    must(got >= 0, "recvmmsg");
    if (got == 0 || headers[0].msg_len == 0)
        return END;
    for (int number = 0; number < got; number++) {
        struct message *message = &messages[whole];
        char *data = source->data + (size_t)number * room;
        if (number && source->have) {
            /* Goes on where the last one stopped. */
            memcpy(message->data + source->have, data, headers[number].msg_len);
        } else {
            message->data = data;
        }
        source->have += headers[number].msg_len;
        if (headers[number].msg_hdr.msg_flags & MSG_EOR) {
            read_info(&headers[number].msg_hdr, &message->info);
            message->size = source->have;
            source->have = 0;
            whole++;
        }
    }
    if (source->have)
        memmove(source->data, messages[whole].data, source->have);
    return whole;
}

/* --- sending */

static void fill(struct msghdr *header, struct control *control, struct iovec *part, int stream, sctp_assoc_t id)
{
    struct sctp_sndinfo info = {.snd_sid = (uint16_t)stream, .snd_ppid = htonl(60), .snd_assoc_id = id};
    *header = (struct msghdr){.msg_iov = part, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = CMSG_SPACE(sizeof info)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
    cmsg->cmsg_level = IPPROTO_SCTP;
    cmsg->cmsg_type = SCTP_SNDINFO;
    cmsg->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(cmsg), &info, sizeof info);
}

static void put(int fd, sctp_assoc_t id, int stream, char *data, size_t size)
{
    struct control control;
    struct iovec part = {data, size};
    struct msghdr header;

    fill(&header, &control, &part, stream, id);
    while (sendmsg(fd, &header, MSG_NOSIGNAL) < 0) {
        must(errno == EAGAIN, "sendmsg");
        wait_until(fd, POLLOUT);
    }
}

/* Send `count` (at most BATCH) messages, from stream `stream` on; with `more`, those that are not the last are held
 * until they fill a packet. */
static void put_many(int fd, int stream, int streams, char *data, size_t size, int count, int more)
{
    struct mmsghdr headers[BATCH];
    struct control controls[BATCH];
    struct iovec part = {data, size};

    for (int number = 0; number < count; number++)
        fill(&headers[number].msg_hdr, &controls[number], &part, (stream + number) % streams, 0);
    for (int sent = 0; sent < count;) {
        int held = more ? count - sent - 1 : 0;
        int taken = sendmmsg(fd, headers + sent, (unsigned)(held ? held : count - sent), MSG_NOSIGNAL | (held ? MSG_MORE : 0));
        if (taken > 0) {
            sent += taken;
            continue;
        }
        must(errno == EAGAIN, "sendmmsg");
        wait_until(fd, POLLOUT);
    }
}

/* --- the server */

static struct source *new_source(const struct run *run, int fd)
{
    struct source *source = calloc(1, sizeof *source);
    must(source != NULL, "calloc");
    source->fd = fd;
    source->data = malloc(room * (run->batch ? BATCH : 1));
    must(source->data != NULL, "malloc");
    return source;
}

static int listen_on(const struct run *run)
{
    struct sockaddr_in address = address_of(run);
    int fd = make(run, run->many ? SOCK_SEQPACKET : SOCK_STREAM);
    must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(fd, 4096) == 0, "listen");
    puts("ready");
    fflush(stdout);
    return fd;
}

/* Take associations, count their greetings, then do the work until the last message. */
static void serve(struct run *run)
{
    struct epoll_event events[BATCH];
    struct message messages[BATCH];
    struct source *first = NULL, **sources = calloc((size_t)run->associations + 1, sizeof *sources);
    sctp_assoc_t first_id = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC), made = 0, greetings = 0, listener = listen_on(run);
    int idle = is(run->work, "idle"), echo = is(run->work, "echo");
    long received = 0, memory = 0;

    sources[made++] = new_source(run, listener);
    watch(epoll, sources[0]);
    while (idle ? greetings < run->associations : received < run->count) {
        int ready = epoll_wait(epoll, events, BATCH, -1);
        must(ready > 0, "epoll_wait");
        for (int number = 0; number < ready; number++) {
            struct source *source = events[number].data.ptr;
            if (source->fd == listener && !run->many) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                must(fd >= 0, "accept");
                sources[made] = new_source(run, fd);
                watch(epoll, sources[made++]);
                continue;
            }
            for (int turn = 0, got = 0; turn < BATCH && got >= 0;) {
                got = run->batch ? get_many(source, messages) : get(source, messages);
                check(got != END, "an association has ended");
                turn += run->batch ? BATCH : 1;
                for (int which = 0; which < got; which++) {
                    struct message *message = &messages[which];
                    if (greetings < run->associations) {
                        check(message->size == 1, "a greeting has one byte");
                        if (message->data[0] == FIRST) {
                            first = source;
                            first_id = message->info.rcv_assoc_id;
                            memory = resident();
                        }
                        if (++greetings == run->associations && !idle) {
                            check(first != NULL, "no first greeting");
                            start();
                            put(first->fd, first_id, 0, (char[]){GO}, 1);
                        }
                        continue;
                    }
                    check(message->size == run->size, "a message has the wrong size");
                    received++;
                    if (echo)
                        put(source->fd, message->info.rcv_assoc_id, message->info.rcv_sid, message->data, message->size);
                }
            }
        }
    }
    check(received == (idle ? 0 : run->count), "too many messages");
    if (idle) {
        printf("{\"associations\": %d, \"bytes\": %ld}\n", run->associations - 1, resident() - memory);
        fflush(stdout);
        put(first->fd, first_id, 0, (char[]){GO}, 1);
    } else {
        stop(received, NULL);
        put(first->fd, first_id, 0, (char[]){DONE}, 1);
    }
    wait_for_a_line();
    while (made--) {
        abort_it(sources[made]->fd);
        free(sources[made]->data);
        free(sources[made]);
    }
    free(sources);
    close(epoll);
}

/* Take `count` associations, and see each of them end. */
static void serve_setups(struct run *run)
{
    struct epoll_event events[BATCH];
    struct message message;
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(run);
    struct source *door = new_source(run, listener);
    long over = 0;

    watch(epoll, door);
    start();
    while (over < run->count) {
        int ready = epoll_wait(epoll, events, BATCH, -1);
        must(ready > 0, "epoll_wait");
        for (int number = 0; number < ready; number++) {
            struct source *source = events[number].data.ptr;
            if (source == door) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                must(fd >= 0, "accept");
                watch(epoll, new_source(run, fd));
            } else if (get(source, &message) == END) {
                close(source->fd);
                free(source->data);
                free(source);
                over++;
            }
        }
    }
    stop(over, NULL);
    wait_for_a_line();
    abort_it(listener);
    free(door->data);
    free(door);
    close(epoll);
}

/* --- the client */

static int connect_to(const struct run *run)
{
    struct sockaddr_in address = address_of(run);
    int fd = make(run, SOCK_STREAM), error = 0;
    socklen_t length = sizeof error;
    struct sctp_event event = {.se_type = SCTP_ASSOC_CHANGE, .se_on = 1};
    /* Nothing else tells that a shutdown is complete. */
    if (is(run->work, "setup"))
        must(setsockopt(fd, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof event) == 0, "SCTP_EVENT");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        must(errno == EINPROGRESS, "connect");
        wait_until(fd, POLLOUT);
        must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0, "SO_ERROR");
        errno = error;
        must(error == 0, "connect");
    }
    return fd;
}

static void expect(struct source *source, size_t size, char what)
{
    struct message message;
    while (get(source, &message) != 1)
        wait_until(source->fd, POLLIN);
    check(message.size == size && (!what || message.data[0] == what), "not the answer that was expected");
}

/* Send `burst` messages at a time, and let the receiver take all of them before the next ones. As a real-time
 * process it is not interrupted, so that the receiver wakes once for each burst. */
static void send_bursts(const struct run *run, struct source *source, char *data)
{
    must(sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) == 0, "SCHED_FIFO");
    for (long done = 0; done < run->count; done++) {
        put(source->fd, 0, (int)(done % run->streams), data, run->size);
        if ((done + 1) % run->burst == 0)
            usleep(20000);
    }
    must(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){.sched_priority = 0}) == 0, "SCHED_OTHER");
}

static void flood(const struct run *run, struct source **sources, char *data)
{
    long share = run->count / run->associations;
    int step = run->batch ? BATCH : 1;
    for (long done = 0; done < share; done += step)
        for (int number = 0; number < run->associations; number++) {
            if (run->batch)
                put_many(sources[number]->fd, (int)(done % run->streams), run->streams, data, run->size,
                         share - done < step ? (int)(share - done) : step, run->bundle);
            else
                put(sources[number]->fd, 0, (int)(done % run->streams), data, run->size);
        }
}

static void make_trips(const struct run *run, struct source **sources, char *data, double *trips)
{
    for (long number = 0; number < run->count; number++) {
        struct source *source = sources[number % run->associations];
        double sent = now();
        put(source->fd, 0, (int)(number / run->associations % run->streams), data, run->size);
        wait_until(source->fd, POLLIN);
        expect(source, run->size, 0);
        trips[number] = now() - sent;
    }
}

static void talk(struct run *run)
{
    struct source **sources = calloc((size_t)run->associations, sizeof *sources);
    char *data = calloc(1, run->size);
    double *trips = is(run->work, "echo") ? calloc((size_t)run->count, sizeof *trips) : NULL;
    int idle = is(run->work, "idle");
    long memory = 0;

    for (int number = 0; number < run->associations; number++) {
        sources[number] = new_source(run, connect_to(run));
        put(sources[number]->fd, 0, 0, (char[]){number ? OTHER : FIRST}, 1);
        if (!number)
            memory = resident();
    }
    expect(sources[0], 1, GO);
    if (idle) {
        printf("{\"associations\": %d, \"bytes\": %ld}\n", run->associations - 1, resident() - memory);
        fflush(stdout);
    } else {
        start();
        if (trips != NULL)
            make_trips(run, sources, data, trips);
        else if (run->burst)
            send_bursts(run, sources[0], data);
        else
            flood(run, sources, data);
        expect(sources[0], 1, DONE);
        stop(run->count, trips);
    }
    wait_for_a_line();
    for (int number = 0; number < run->associations; number++) {
        abort_it(sources[number]->fd);
        free(sources[number]->data);
        free(sources[number]);
    }
    free(sources);
    free(data);
    free(trips);
}

static void set_up(struct run *run)
{
    struct message message;
    start();
    for (long number = 0; number < run->count; number++) {
        struct source *source = new_source(run, connect_to(run));
        must(shutdown(source->fd, SHUT_WR) == 0, "shutdown");
        while (get(source, &message) != END)
            wait_until(source->fd, POLLIN);
        close(source->fd);
        free(source->data);
        free(source);
    }
    stop(run->count, NULL);
    wait_for_a_line();
}

static void perform(struct run *run)
{
    int setup = is(run->work, "setup");
    room = run->size < 4096 ? 4096 : run->size;
    if (run->server)
        (setup ? serve_setups : serve)(run);
    else
        (setup ? set_up : talk)(run);
}

int main(int count, char **words)
{
    do_runs(count, words, perform);
    return 0;
}
