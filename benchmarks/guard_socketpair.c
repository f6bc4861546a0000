/* A socket pair that passes for an SCTP association, preloaded into a process that uses the kernel's stack.
 *
 * What csrc/kernel/kernel.c asks and sends goes to the kernel's AF_UNIX sockets, at any commit: only what those do
 * not know is answered here. Each message comes on stream 3 from 127.0.0.1:5000, with PPID 60. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define SCTP 132
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static struct sockaddr_in peer(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(5000)};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return name;
}

int socket(int family, int type, int protocol)
{
    int ours = protocol == SCTP;
    return REAL(socket)(ours ? AF_UNIX : family, type, ours ? 0 : protocol);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    return level == SCTP ? 0 : REAL(setsockopt)(fd, level, option, value, length);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    if (level == SOL_SOCKET && option == SO_PROTOCOL && *length >= sizeof(int)) {
        memcpy(value, &(int){SCTP}, sizeof(int));
        return 0;
    }
    if (level != SCTP)
        return REAL(getsockopt)(fd, level, option, value, length);
    if (option == SCTP_STATUS && *length >= sizeof(struct sctp_status)) {
        struct sctp_status status = {.sstat_assoc_id = 7, .sstat_state = SCTP_ESTABLISHED};
        status.sstat_instrms = status.sstat_outstrms = 10;
        struct sockaddr_in name = peer();
        memcpy(&status.sstat_primary.spinfo_address, &name, sizeof name);
        memcpy(value, &status, sizeof status);
        return 0;
    }
    if (option == SCTP_GET_PEER_ADDRS || option == SCTP_GET_LOCAL_ADDRS) {
        struct sockaddr_in name = peer();
        uint32_t count = 1;
        if (*length < sizeof(struct sctp_getaddrs) + sizeof name) {
            errno = ENOMEM;
            return -1;
        }
        memcpy((uint8_t *)value + 4, &count, sizeof count);
        memcpy((uint8_t *)value + sizeof(struct sctp_getaddrs), &name, sizeof name);
        *length = sizeof(struct sctp_getaddrs) + sizeof name;
        return 0;
    }
    return 0; /* as it was asked: all is zero */
}

static void complete(struct msghdr *message)
{
    struct sctp_rcvinfo info = {.rcv_sid = 3, .rcv_ppid = htonl(60), .rcv_tsn = 1, .rcv_assoc_id = 7};
    struct sockaddr_in name = peer();

    message->msg_flags |= MSG_EOR;
    if (message->msg_name && message->msg_namelen >= sizeof name) {
        memcpy(message->msg_name, &name, sizeof name);
        message->msg_namelen = sizeof name;
    }
    if (message->msg_control && message->msg_controllen >= CMSG_SPACE(sizeof info)) {
        struct cmsghdr *header = message->msg_control;
        header->cmsg_level = SCTP;
        header->cmsg_type = SCTP_RCVINFO;
        header->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(header), &info, sizeof info);
        message->msg_controllen = CMSG_SPACE(sizeof info);
    }
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    static __typeof__(&recvmsg) real;
    struct msghdr asked = *message;
    if (!real)
        real = REAL(recvmsg);
    ssize_t received = real(fd, message, flags);
    if (received > 0) {
        message->msg_namelen = asked.msg_namelen;
        message->msg_controllen = asked.msg_controllen;
        complete(message);
    }
    return received;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
    unsigned int got = 0;
    (void)timeout;
    for (; got < count; got++) {
        ssize_t received = recvmsg(fd, &messages[got].msg_hdr, flags | MSG_DONTWAIT);
        if (received < 0)
            return got ? (int)got : -1;
        messages[got].msg_len = (unsigned int)received;
    }
    return (int)got;
}
