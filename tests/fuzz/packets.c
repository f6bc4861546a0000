/* What comes to usrsctp's UDP port: the filter before it, the addresses learned from it, and its record for pcap.
 *
 * The input has the sizes of the buffers that usrsctp passes, ancillary data, and the datagram. A packet that
 * the filter lets through has to be one by the walk here, which was written apart from it. */
#include "usrsctp/packets.c"

#include <stdlib.h>

#define TRANSPORT 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rest of the stack, which is not here. */
struct process process = {.phase = RUNNING};
static int waits, known;

void before_wait(void) { waits++; }
void after_wait(void) { waits--; }
int is_transport(int fd) { return fd == TRANSPORT; }

int know_address(struct sockaddr *address)
{
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
        abort();
    return ++known & 1;
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags)
{
    (void)fd;
    (void)message;
    (void)flags;
    abort();
}

static const uint8_t *input;
static size_t left;

static uint32_t number(size_t bytes)
{
    uint32_t value = 0;
    for (; bytes && left; bytes--, left--)
        value = value << 8 | *input++;
    return value;
}

/* A datagram of all that is left, behind ancillary data and a source. */
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct sockaddr_in6 source = {.sin6_family = number(1) & 1 ? AF_INET : AF_INET6};
    size_t control = number(1) & 63, taken = 0;

    (void)fd;
    (void)flags;
    control = control < left ? control : left;
    memcpy(message->msg_control, input, control);
    message->msg_controllen = control;
    input += control;
    left -= control;
    memcpy(message->msg_name, &source, sizeof source);
    for (size_t i = 0; i < message->msg_iovlen && taken < left; i++) {
        size_t step = message->msg_iov[i].iov_len < left - taken ? message->msg_iov[i].iov_len : left - taken;
        memcpy(message->msg_iov[i].iov_base, input + taken, step);
        taken += step;
    }
    return (ssize_t)taken;
}

/* Whether chunks or parameters of at least 4 bytes follow each other up to the end, the last one maybe unpadded. */
static int tiled(const uint8_t *at, size_t size, int chunks)
{
    size_t used = 0;

    while (used < size) {
        size_t length = size - used < 4 ? 0 : (size_t)at[used + 2] << 8 | at[used + 3];
        if (size - used < 4 && chunks)
            return 1; /* a rest that is no chunk is ignored */
        if (length < 4 || length > size - used)
            return 0;
        if (chunks && at[used] == SCTP_INITIATION &&
            (used || length < 20 || !tiled(at + used + 20, length - 20, 0)))
            return 0;
        used += (length + 3) / 4 * 4;
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _Alignas(struct cmsghdr) uint8_t control[64];
    struct sockaddr_in6 source;
    struct iovec buffers[4];
    struct msghdr message = {.msg_name = &source, .msg_namelen = sizeof source, .msg_iov = buffers,
                             .msg_control = control, .msg_controllen = sizeof control};

    input = data;
    left = size;
    message.msg_iovlen = number(1) % 4 + 1;
    capture = number(1) & 1 ? 0 : -1; /* of the pcap, and no write succeeds */
    for (size_t i = 0; i < message.msg_iovlen; i++) {
        buffers[i].iov_len = number(1) * (i ? 16u : 8u) + 1;
        buffers[i].iov_base = malloc(buffers[i].iov_len);
        if (!buffers[i].iov_base)
            abort();
    }
    ssize_t received = __wrap_recvmsg(TRANSPORT, &message, 0);
    if (received >= 0 && ((size_t)received < 16 || !tiled(input + 12, (size_t)received - 12, 1)))
        abort();
    if (waits != (received < 0))
        abort();
    waits = 0;
    for (size_t i = 0; i < message.msg_iovlen; i++)
        free(buffers[i].iov_base);
    return 0;
}
