/* What usrsctp sends by its UDP sockets, and which of the packets that come there it gets to see. */
#include "usrsctp_private.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>

/* usrsctp chooses a source address for each packet, and then leaves it to the kernel to choose another: its
 * UDP socket is told the destination alone. A peer with several paths would not know whose packets these are.
 * The IP header that usrsctp wrote lies right before what it sends. The linker gives it this function. */
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct msghdr copy = *message;
    struct cmsghdr *header = (struct cmsghdr *)control;
    sa_family_t family = ((const struct sockaddr *)message->msg_name)->sa_family;
    ssize_t sent;

    if (message->msg_controllen || message->msg_iovlen == 0)
        return __real_sendmsg(fd, message, flags);
    memset(control, 0, sizeof control);
    copy.msg_control = control;
    if (family == AF_INET && is_transport(fd)) {
        struct in_pktinfo info = {0};
        struct ip ip;
        memcpy(&ip, (uint8_t *)message->msg_iov[0].iov_base - sizeof(struct udphdr) - sizeof ip, sizeof ip);
        if (ip.ip_v != 4 || ip.ip_p != IPPROTO_UDP || ip.ip_src.s_addr == 0 ||
            ip.ip_dst.s_addr != ((const struct sockaddr_in *)message->msg_name)->sin_addr.s_addr)
            return __real_sendmsg(fd, message, flags);
        info.ipi_spec_dst = ip.ip_src;
        header->cmsg_level = IPPROTO_IP;
        header->cmsg_type = IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof info);
        copy.msg_controllen = CMSG_SPACE(sizeof info);
        memcpy(CMSG_DATA(header), &info, sizeof info);
    } else if (family == AF_INET6 && is_transport(fd)) {
        struct in6_pktinfo info = {0};
        struct ip6_hdr ip;
        memcpy(&ip, (uint8_t *)message->msg_iov[0].iov_base - sizeof(struct udphdr) - sizeof ip, sizeof ip);
        if (ip.ip6_nxt != IPPROTO_UDP || IN6_IS_ADDR_UNSPECIFIED(&ip.ip6_src) ||
            IN6_IS_ADDR_LINKLOCAL(&ip.ip6_src) ||
            !IN6_ARE_ADDR_EQUAL(&ip.ip6_dst, &((const struct sockaddr_in6 *)message->msg_name)->sin6_addr))
            return __real_sendmsg(fd, message, flags);
        info.ipi6_addr = ip.ip6_src;
        header->cmsg_level = IPPROTO_IPV6;
        header->cmsg_type = IPV6_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof info);
        copy.msg_controllen = CMSG_SPACE(sizeof info);
        memcpy(CMSG_DATA(header), &info, sizeof info);
    } else {
        return __real_sendmsg(fd, message, flags);
    }
    sent = __real_sendmsg(fd, &copy, flags);
    /* Not from there to that place: then as the kernel likes. */
    return sent < 0 && errno != EAGAIN ? __real_sendmsg(fd, message, flags) : sent;
}

static uint32_t be16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

/* Whether each parameter or cause from `at` to `end` is as long as it says; padding may lack at the end. */
static int parameters_fit(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        uint32_t length = end - at < 4 ? 0 : be16(at + 2);
        if (length < 4 || length > (uint32_t)(end - at))
            return 0;
        length = (length + 3) & ~3u;
        at = length > (uint32_t)(end - at) ? end : at + length;
    }
    return 1;
}

/* Whether usrsctp takes an INIT. What it does not take makes it abort the association that is there already:
 * anybody who knows its ports could end it. RFC 9260 5.2 leaves such an association alone. */
static int is_init(const uint8_t *packet, const uint8_t *chunk, const uint8_t *end, int alone)
{
    static const uint8_t nothing[4];
    int random = 0, hmacs = 0, chunks = 0, asconf = 0, guarded = 0;

    /* Verification tag; initiate tag, window, streams out and in. */
    if (!alone || memcmp(packet + 4, nothing, 4) || !memcmp(chunk + 4, nothing, 4) ||
        (be16(chunk + 8) == 0 && be16(chunk + 10) < 1500) || !be16(chunk + 12) || !be16(chunk + 14))
        return 0;
    for (const uint8_t *at = chunk + 20; at < end;) {
        uint32_t length = be16(at + 2), step = (length + 3) & ~3u;
        switch (be16(at)) {
        case 0x8002: /* RANDOM (RFC 4895) */
            if (length != 36)
                return 0;
            random = 1;
            break;
        case 0x8003: /* CHUNKS that have to be authenticated */
            chunks |= length > 4;
            guarded |= (memchr(at + 4, SCTP_ASCONF, length - 4) ? 1 : 0) |
                       (memchr(at + 4, SCTP_ASCONF_ACK, length - 4) ? 2 : 0);
            break;
        case 0x8008: /* supported extensions */
            asconf |= memchr(at + 4, SCTP_ASCONF, length - 4) || memchr(at + 4, SCTP_ASCONF_ACK, length - 4);
            break;
        case 0x8004:
            /* SHA-1 has to be there. */
            for (uint32_t i = 4; i + 1 < length; i += 2)
                hmacs |= be16(at + i) == 1;
            if (!hmacs)
                return 0;
        }
        at = step > (uint32_t)(end - at) ? end : at + step;
    }
    return (random && hmacs) ? !asconf || guarded == 3 : !chunks && !asconf;
}

#define MOST_LEARNED 256

/* Whether a packet is made of whole chunks, and those of whole parameters. usrsctp 0.9.5 walks the parameters
 * of an INIT for ever, with the association's lock held, where one says that it is 0 bytes long. */
static int is_packet(const uint8_t *packet, size_t size)
{
    /* Where the parameters of a chunk begin, by type; elsewhere there are none, or usrsctp looks itself. */
    static const uint8_t head[256] = {
        [SCTP_INITIATION] = 20, [SCTP_INITIATION_ACK] = 20, [SCTP_ABORT_ASSOCIATION] = 4,
        [SCTP_OPERATION_ERROR] = 4, [SCTP_STREAM_RESET] = 4, [SCTP_ASCONF] = 8, [SCTP_ASCONF_ACK] = 8,
    };
    const uint8_t *at = packet + sizeof(struct sctp_common_header), *end = packet + size;

    if (size < sizeof(struct sctp_common_header) + 4)
        return 0;
    while (end - at >= 4) {
        uint32_t length = be16(at + 2), first = head[at[0]];
        if (length < 4 || length > (uint32_t)(end - at))
            return 0;
        if (first && (length < first || !parameters_fit(at + first, at + length)))
            return 0;
        if (at[0] == SCTP_INITIATION &&
            !is_init(packet, at, at + length, at == packet + sizeof(struct sctp_common_header) &&
                                                 ((length + 3) & ~3u) >= (uint32_t)(end - at)))
            return 0;
        length = (length + 3) & ~3u;
        at = length > (uint32_t)(end - at) ? end : at + length;
    }
    return 1;
}

/* Makes the address known to which an INIT was sent: one that this host got after the stack began, or that no
 * interface lists. Not all: who is on this host may send to any of 127.0.0.0/8. */
static void learn(struct msghdr *message)
{
    static atomic_int learned;
    struct sockaddr_in6 address;

    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        memset(&address, 0, sizeof address);
        if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO &&
            at->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
            struct in_pktinfo info;
            struct sockaddr_in v4 = {.sin_family = AF_INET};
            memcpy(&info, CMSG_DATA(at), sizeof info);
            if (info.ipi_spec_dst.s_addr == 0)
                continue;
            v4.sin_addr = info.ipi_spec_dst;
            memcpy(&address, &v4, sizeof v4);
        } else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO &&
                   at->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(at), sizeof info);
            if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr) || IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                continue;
            address.sin6_family = AF_INET6;
            address.sin6_addr = info.ipi6_addr;
        } else {
            continue;
        }
        if (learned < MOST_LEARNED && know_address((struct sockaddr *)&address) > 0)
            learned++;
    }
}

/* What usrsctp's threads receive, but for packets that are none. The linker gives it this function. */
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    static _Thread_local uint8_t whole[65536];
    const uint8_t *packet = message->msg_iovlen ? message->msg_iov[0].iov_base : whole;
    ssize_t received;

    rest();
    received = __real_recvmsg(fd, message, flags);
    if (received < 0)
        return received;
    if (message->msg_iovlen && (size_t)received > message->msg_iov[0].iov_len) {
        size_t used = 0;
        for (size_t i = 0; i < message->msg_iovlen && used < (size_t)received && used < sizeof whole; i++) {
            size_t step = message->msg_iov[i].iov_len;
            step = step < (size_t)received - used ? step : (size_t)received - used;
            step = step < sizeof whole - used ? step : sizeof whole - used;
            memcpy(whole + used, message->msg_iov[i].iov_base, step);
            used += step;
        }
        packet = whole;
    }
    if (process.started && (!is_transport(fd) || is_packet(packet, (size_t)received))) {
        work();
        if (is_transport(fd) && packet[sizeof(struct sctp_common_header)] == SCTP_INITIATION)
            learn(message);
        return received;
    }
    /* It calls again. */
    errno = EINTR;
    return -1;
}
