/* The yardstick of benchmarks/usrsctp.py: what a plain C program does on libusrsctp, with its blocking calls.
 *
 *     plain_usrsctp server|client UDP_PORT PEER_UDP_PORT SCTP_PORT MESSAGES SIZE TRIPS
 *
 * The server says "ready" when it listens, the client how many seconds it took. With TRIPS 1 each message is
 * answered, else the last one alone. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <usrsctp.h>

#define WINDOW (4 * 1024 * 1024)

static void must(int good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static void set(struct socket *so, int level, int name, int value)
{
    must(usrsctp_setsockopt(so, level, name, &value, sizeof value) == 0, "setsockopt");
}

static struct socket *make(uint16_t peer_udp_port)
{
    struct sctp_udpencaps encapsulation = {.sue_address.ss_family = AF_INET, .sue_port = htons(peer_udp_port)};
    struct socket *so = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    must(so != NULL, "socket");
    set(so, IPPROTO_SCTP, SCTP_NODELAY, 1);
    set(so, IPPROTO_SCTP, SCTP_RECVRCVINFO, 1);
    set(so, SOL_SOCKET, SO_RCVBUF, WINDOW);
    must(usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encapsulation, sizeof encapsulation) == 0,
         "SCTP_REMOTE_UDP_ENCAPS_PORT");
    return so;
}

static void put(struct socket *so, const char *data, size_t size)
{
    struct sctp_sndinfo info = {0};
    must(usrsctp_sendv(so, data, size, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0) == (ssize_t)size, "send");
}

static void get(struct socket *so, char *data, size_t size)
{
    union sctp_sockstore from;
    struct sctp_rcvinfo info;
    socklen_t from_length = sizeof from, info_length = sizeof info;
    unsigned int type;
    int flags;

    do {
        flags = 0;
        from_length = sizeof from;
        info_length = sizeof info;
        must(usrsctp_recvv(so, data, size, &from.sa, &from_length, &info, &info_length, &type, &flags) > 0, "receive");
    } while (!(flags & MSG_EOR));
}

int main(int count, char **arguments)
{
    must(count == 8, "usage: server|client UDP_PORT PEER_UDP_PORT SCTP_PORT MESSAGES SIZE TRIPS");
    int server = strcmp(arguments[1], "server") == 0, messages = atoi(arguments[5]), trips = atoi(arguments[7]);
    size_t size = (size_t)atol(arguments[6]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timespec began, ended;
    char *data = calloc(1, size);

    address.sin_port = htons((uint16_t)atoi(arguments[4]));
    usrsctp_init((uint16_t)atoi(arguments[2]), NULL, NULL);
    /* As in sctpio: else no checksum is looked at any more after the first packet from an own address. */
    usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
    struct socket *so = make((uint16_t)atoi(arguments[3]));
    if (server) {
        must(usrsctp_bind(so, (struct sockaddr *)&address, sizeof address) == 0 && usrsctp_listen(so, 1) == 0, "listen");
        puts("ready");
        fflush(stdout);
        struct socket *listener = so;
        so = usrsctp_accept(listener, NULL, NULL);
        must(so != NULL, "accept");
        usrsctp_close(listener);
        set(so, IPPROTO_SCTP, SCTP_NODELAY, 1);
    } else {
        must(usrsctp_connect(so, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int number = 1; number <= messages; number++) {
        if (server)
            get(so, data, size);
        else
            put(so, data, size);
        if (!trips && number < messages)
            continue;
        if (server)
            put(so, data, size);
        else
            get(so, data, size);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (!server)
        printf("%.6f\n", (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    usrsctp_close(so);
    for (int waited = 0; usrsctp_finish() != 0 && waited < 300; waited++)
        usleep(10000);
    return 0;
}
