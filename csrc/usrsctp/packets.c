/* What usrsctp sends through its UDP sockets, and which of the packets that arrive there it gets to see. */
#include "shared.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <time.h>
#include <unistd.h>

static atomic_int capture = -1;

int sctpio_capture(int fd)
{
    capture = fd;
    return 0;
}

/* Writes one record: a packet between two addresses of a family, of which `from` and `to` have the bytes. */
static void record(sa_family_t family, const uint8_t *from, const uint8_t *to, const struct iovec *data, size_t count)
{
    static _Thread_local struct {
        uint32_t seconds, microseconds, captured, length;
        uint8_t bytes[40 + 65536];
    } out;
    size_t head = family == AF_INET ? 20 : 40, used = head;
    struct timespec now;
    int before = errno;

    memset(out.bytes, 0, head);
    for (size_t i = 0; i < count && used < sizeof out.bytes; i++) {
        size_t step = data[i].iov_len < sizeof out.bytes - used ? data[i].iov_len : sizeof out.bytes - used;
        memcpy(out.bytes + used, data[i].iov_base, step);
        used += step;
    }
    if (family == AF_INET) {
        uint16_t whole = htons((uint16_t)(used < 65535 ? used : 65535));
        out.bytes[0] = 0x45;
        memcpy(out.bytes + 2, &whole, 2);
        out.bytes[8] = 64;
        out.bytes[9] = IPPROTO_SCTP;
        memcpy(out.bytes + 12, from, 4);
        memcpy(out.bytes + 16, to, 4);
    } else {
        uint16_t payload = htons((uint16_t)(used - head < 65535 ? used - head : 65535));
        out.bytes[0] = 0x60;
        memcpy(out.bytes + 4, &payload, 2);
        out.bytes[6] = IPPROTO_SCTP;
        out.bytes[7] = 64;
        memcpy(out.bytes + 8, from, 16);
        memcpy(out.bytes + 24, to, 16);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    out.seconds = (uint32_t)now.tv_sec;
    out.microseconds = (uint32_t)(now.tv_nsec / 1000);
    out.captured = out.length = (uint32_t)used;
    /* What cannot be written is left out: a full disk is no reason to stop a packet. */
    (void)!write(capture, &out, offsetof(__typeof__(out), bytes) + used);
    errno = before;
}

/* The address to which a packet came, as its ancillary data say; NULL if they do not. */
static const uint8_t *came_to(struct msghdr *message, sa_family_t family)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (family == AF_INET && at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO &&
            at->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo)))
            return CMSG_DATA(at) + offsetof(struct in_pktinfo, ipi_addr);
        if (family == AF_INET6 && at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO &&
            at->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo)))
            return CMSG_DATA(at) + offsetof(struct in6_pktinfo, ipi6_addr);
    }
    return NULL;
}

/* The bytes of an address, and how many they are. */
static const uint8_t *bytes_of(const struct sockaddr *address, size_t *size)
{
    *size = address->sa_family == AF_INET ? 4 : 16;
    return address->sa_family == AF_INET ? (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr
                                         : (const uint8_t *)&((const struct sockaddr_in6 *)address)->sin6_addr;
}

static void record_received(struct msghdr *message, const uint8_t *packet, size_t size)
{
    struct iovec data = {.iov_base = (void *)packet, .iov_len = size};
    const struct sockaddr *source = message->msg_name;
    const uint8_t *from, *to;
    size_t length;

    if (!source || (source->sa_family != AF_INET && source->sa_family != AF_INET6))
        return;
    from = bytes_of(source, &length);
    to = came_to(message, source->sa_family);
    if (to && memcmp(from, to, length))
        record(source->sa_family, from, to, &data, 1);
}

static void record_sent(const struct msghdr *message, const uint8_t *from)
{
    static const uint8_t unknown[16];
    const struct sockaddr *there = message->msg_name;
    size_t length;

    if (there && (there->sa_family == AF_INET || there->sa_family == AF_INET6))
        record(there->sa_family, from ? from : unknown, bytes_of(there, &length), message->msg_iov,
               message->msg_iovlen);
}

/* usrsctp chooses a source address for each packet, but tells its UDP socket only the destination, so that the
 * kernel may choose another source: a peer with several paths would not know whose packet it is. The
 * IP header with usrsctp's choice lies in memory right before the data that it sends. The linker
 * gives usrsctp this function in place of sendmsg. */
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
            ip.ip_dst.s_addr != ((const struct sockaddr_in *)message->msg_name)->sin_addr.s_addr) {
            if (capture >= 0)
                record_sent(message, NULL);
            return __real_sendmsg(fd, message, flags);
        }
        if (capture >= 0)
            record_sent(message, (const uint8_t *)&ip.ip_src);
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
            !IN6_ARE_ADDR_EQUAL(&ip.ip6_dst, &((const struct sockaddr_in6 *)message->msg_name)->sin6_addr)) {
            if (capture >= 0)
                record_sent(message, NULL);
            return __real_sendmsg(fd, message, flags);
        }
        if (capture >= 0)
            record_sent(message, (const uint8_t *)&ip.ip6_src);
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
    /* The kernel has no way from that source to there: let it choose. */
    return sent < 0 && errno != EAGAIN ? __real_sendmsg(fd, message, flags) : sent;
}

static uint32_t be16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

/* Whether every parameter or cause from `at` to `end` is as long as it says. The last may lack padding. */
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

/* Whether usrsctp accepts this INIT. It answers one that it does not accept by aborting the association that
 * exists between the same ports, so that anybody who knows these could end it. RFC 9260 5.2 leaves such an
 * association alone. */
static int is_init(const uint8_t *packet, const uint8_t *chunk, const uint8_t *end, int alone)
{
    static const uint8_t nothing[4];
    int random = 0, hmacs = 0, chunks = 0, asconf = 0, guarded = 0;

    /* The packet's verification tag; the initiate tag, the window, the outbound and inbound streams. */
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
        case 0x8003: /* CHUNKS: those that have to be authenticated */
            chunks |= length > 4;
            guarded |= (memchr(at + 4, SCTP_ASCONF, length - 4) ? 1 : 0) |
                       (memchr(at + 4, SCTP_ASCONF_ACK, length - 4) ? 2 : 0);
            break;
        case 0x8008: /* supported extensions */
            asconf |= memchr(at + 4, SCTP_ASCONF, length - 4) || memchr(at + 4, SCTP_ASCONF_ACK, length - 4);
            break;
        case 0x8004:
            /* HMAC-ALGO: SHA-1 is mandatory. */
            for (uint32_t i = 4; i + 1 < length; i += 2)
                hmacs |= be16(at + i) == 1;
            if (!hmacs)
                return 0;
        }
        at = step > (uint32_t)(end - at) ? end : at + step;
    }
    return (random && hmacs) ? !asconf || guarded == 3 : !chunks && !asconf;
}

/* A socket on all addresses lists them in its INIT, and one with some hundred is too large for a packet. */
#define MOST_LEARNED 64

/* Whether a packet consists of whole chunks, and these of whole parameters. At a parameter of an INIT that
 * says it is 0 bytes long, usrsctp 0.9.5 loops for ever with the association's lock held. */
static int is_packet(const uint8_t *packet, size_t size)
{
    /* Where the parameters of a chunk begin, by its type. Others have none, or usrsctp checks them itself. */
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

/* Makes usrsctp accept the address to which an INIT was sent: one that this host got after the stack had
 * started, or that no interface lists. Only so many: a program of this host may send to all of 127.0.0.0/8, and
 * the stack forgets none. */
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

/* Receives for usrsctp's threads, and drops what is not a well-formed packet. The linker gives usrsctp this
 * function in place of recvmsg. */
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    static _Thread_local uint8_t whole[65536];
    const uint8_t *packet = message->msg_iovlen ? message->msg_iov[0].iov_base : whole;
    ssize_t received;

    before_wait();
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
    if (process.phase >= RUNNING && (!is_transport(fd) || is_packet(packet, (size_t)received))) {
        after_wait();
        if (is_transport(fd) && packet[sizeof(struct sctp_common_header)] == SCTP_INITIATION)
            learn(message);
        if (capture >= 0 && is_transport(fd))
            record_received(message, packet, (size_t)received);
        return received;
    }
    /* usrsctp then calls again. */
    errno = EINTR;
    return -1;
}
