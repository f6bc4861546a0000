/* The yardstick on usrsctp: what a plain C program does on libusrsctp, with its blocking calls.
 *
 * One association at a time (no `associations`, no mode=many, no idle). See common.py for the words and the protocol. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <usrsctp.h>

#include "run.h"

#define END ((size_t)0)

static void set(struct socket *so, int level, int name, int value)
{
    must(usrsctp_setsockopt(so, level, name, &value, sizeof value) == 0, "setsockopt");
}

static struct socket *make(const struct run *run)
{
    struct sctp_udpencaps encapsulation = {.sue_address.ss_family = AF_INET, .sue_port = htons((uint16_t)run->peer_udp_port)};
    struct sctp_initmsg init = {.sinit_num_ostreams = (uint16_t)run->streams, .sinit_max_instreams = 64};
    struct socket *so = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    must(so != NULL, "socket");
    set(so, SOL_SOCKET, SO_SNDBUF, run->send_buffer);
    set(so, SOL_SOCKET, SO_RCVBUF, run->receive_buffer);
    set(so, IPPROTO_SCTP, SCTP_NODELAY, 1);
    set(so, IPPROTO_SCTP, SCTP_RECVRCVINFO, 1);
    must(usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof init) == 0, "SCTP_INITMSG");
    must(usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encapsulation, sizeof encapsulation) == 0,
         "SCTP_REMOTE_UDP_ENCAPS_PORT");
    return so;
}

static void abort_it(struct socket *so)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    must(usrsctp_setsockopt(so, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0, "SO_LINGER");
    usrsctp_close(so);
}

static void put(struct socket *so, int stream, const char *data, size_t size)
{
    struct sctp_sndinfo info = {.snd_sid = (uint16_t)stream, .snd_ppid = htonl(60)};
    must(usrsctp_sendv(so, data, size, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0) == (ssize_t)size, "send");
}

/* Give the size of the next message, or END. */
static size_t get(struct socket *so, char *data, size_t room, int *stream)
{
    union sctp_sockstore from;
    struct sctp_rcvinfo info = {0};
    unsigned int type;
    size_t have = 0;

    for (int flags = 0; !(flags & MSG_EOR);) {
        socklen_t from_length = sizeof from, info_length = sizeof info;
        flags = 0;
        ssize_t got = usrsctp_recvv(so, data + have, room - have, &from.sa, &from_length, &info, &info_length, &type, &flags);
        must(got >= 0, "receive");
        if (got == 0)
            return END;
        have += (size_t)got;
    }
    *stream = info.rcv_sid;
    return have;
}

static struct sockaddr_in address_of(const struct run *run)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)run->port)};
    must(inet_pton(AF_INET, run->address, &address.sin_addr) == 1, "address");
    return address;
}

static void serve(const struct run *run, char *data, size_t room)
{
    struct sockaddr_in address = address_of(run);
    struct socket *listener = make(run), *so;
    int stream, echo = is(run->work, "echo");

    must(usrsctp_bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(usrsctp_listen(listener, 128) == 0, "listen");
    puts("ready");
    fflush(stdout);
    if (is(run->work, "setup")) {
        start();
        for (long number = 0; number < run->count; number++) {
            must((so = usrsctp_accept(listener, NULL, NULL)) != NULL, "accept");
            check(get(so, data, room, &stream) == END, "the end of the association was expected");
            usrsctp_close(so);
        }
        stop(run->count, NULL);
        wait_for_a_line();
        usrsctp_close(listener);
        return;
    }
    must((so = usrsctp_accept(listener, NULL, NULL)) != NULL, "accept");
    set(so, IPPROTO_SCTP, SCTP_NODELAY, 1);
    check(get(so, data, room, &stream) == 1 && data[0] == FIRST, "no greeting");
    start();
    put(so, 0, (char[]){GO}, 1);
    for (long number = 0; number < run->count; number++) {
        check(get(so, data, room, &stream) == run->size, "a message has the wrong size");
        if (echo)
            put(so, stream, data, run->size);
    }
    stop(run->count, NULL);
    put(so, 0, (char[]){DONE}, 1);
    wait_for_a_line();
    abort_it(so);
    usrsctp_close(listener);
}

static struct socket *connect_to(const struct run *run)
{
    struct sockaddr_in address = address_of(run);
    struct socket *so = make(run);
    must(usrsctp_connect(so, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    return so;
}

static void talk(const struct run *run, char *data, size_t room)
{
    int stream;
    struct socket *so;
    double *trips = is(run->work, "echo") ? calloc((size_t)run->count, sizeof *trips) : NULL;

    if (is(run->work, "setup")) {
        start();
        for (long number = 0; number < run->count; number++) {
            so = connect_to(run);
            must(usrsctp_shutdown(so, SHUT_WR) == 0, "shutdown");
            check(get(so, data, room, &stream) == END, "the end of the association was expected");
            usrsctp_close(so);
        }
        stop(run->count, NULL);
        wait_for_a_line();
        return;
    }
    so = connect_to(run);
    put(so, 0, (char[]){FIRST}, 1);
    check(get(so, data, room, &stream) == 1 && data[0] == GO, "not the answer that was expected");
    memset(data, 0, room);
    start();
    for (long number = 0; number < run->count; number++) {
        double sent = now();
        put(so, (int)(number % run->streams), data, run->size);
        if (trips != NULL) {
            check(get(so, data, room, &stream) == run->size, "a message has the wrong size");
            trips[number] = now() - sent;
        }
    }
    check(get(so, data, room, &stream) == 1 && data[0] == DONE, "not the answer that was expected");
    stop(run->count, trips);
    wait_for_a_line();
    abort_it(so);
    free(trips);
}

static void perform(struct run *run)
{
    static int began_stack;
    size_t room = run->size < 4096 ? 4096 : run->size;
    char *data = calloc(1, room);

    check(run->associations == 1 && !run->many && !is(run->work, "idle"), "not done by this contender");
    if (!began_stack) {
        usrsctp_init((uint16_t)run->udp_port, NULL, NULL);
        /* As in sctpio: else no checksum is looked at any more after the first packet from an own address. */
        usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
        began_stack = 1;
    }
    (run->server ? serve : talk)(run, data, room);
    free(data);
}

int main(int count, char **words)
{
    do_runs(count, words, perform);
    return 0;
}
