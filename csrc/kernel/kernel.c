/* The contract of sctpio.h over the kernel's SCTP. Python calls these functions with the GIL released. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common.h"
#include "uapi.h"

/* Room for one RCVINFO and one SNDRCV, and a few control messages of other levels, such as timestamps. */
#define RECEIVE_CONTROL 512

#define SEND_CONTROL \
    (CMSG_SPACE(sizeof(struct uapi_sndrcvinfo)) + CMSG_SPACE(sizeof(struct uapi_prinfo)) + \
     CMSG_SPACE(sizeof(struct uapi_authinfo)))

/* Bounded because a batch is built on the C stack: 64 messages take about 12 KiB. */
#define SEND_BATCH 64

static int result(long value) { return value < 0 ? -errno : (int)value; }

int sctpio_probe(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, UAPI_IPPROTO_SCTP);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int sctpio_open(int family, int one_to_many)
{
    int type = one_to_many ? SOCK_SEQPACKET : SOCK_STREAM;
    return result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, UAPI_IPPROTO_SCTP));
}

/* Not retried on EINTR: Linux has released the descriptor by then. */
int sctpio_close(int fd) { return result(close(fd)); }

int sctpio_listen(int fd, int backlog) { return result(listen(fd, backlog)); }

int sctpio_accept(int fd, uint8_t *source, uint32_t *source_length)
{
    struct sockaddr_in6 name;
    socklen_t length = sizeof name;
    int accepted;

    do
        accepted = accept4(fd, (struct sockaddr *)&name, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (accepted < 0 && errno == EINTR);
    if (accepted < 0)
        return -errno;
    if (length > sizeof name)
        length = sizeof name;
    if (length > *source_length)
        length = *source_length;
    memcpy(source, &name, length);
    *source_length = length;
    return accepted;
}

int sctpio_peeloff(int fd, int32_t association_id)
{
    struct uapi_peeloff argument = {association_id, -1, SOCK_NONBLOCK | SOCK_CLOEXEC};
    socklen_t length = sizeof argument;

    /* Without a free descriptor the kernel would peel the association off and then destroy it. */
    int spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (spare < 0)
        return -errno;
    close(spare);

    /* On success this getsockopt returns the new descriptor, not 0. */
    if (getsockopt(fd, UAPI_SOL_SCTP, UAPI_SOCKOPT_PEELOFF_FLAGS, &argument, &length) >= 0)
        return argument.sd;
    if (errno != ENOPROTOOPT)
        return -errno;

    /* Before Linux 4.13: the descriptor comes blocking and inheritable. */
    length = offsetof(struct uapi_peeloff, flags);
    if (getsockopt(fd, UAPI_SOL_SCTP, UAPI_SOCKOPT_PEELOFF, &argument, &length) < 0)
        return -errno;
    if (fcntl(argument.sd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(argument.sd, F_SETFL, O_NONBLOCK) < 0) {
        int saved = errno;
        close(argument.sd);
        return -saved;
    }
    return argument.sd;
}

int sctpio_bindx(int fd, const uint8_t *addresses, uint32_t length, int remove)
{
    int option = remove ? UAPI_SOCKOPT_BINDX_REM : UAPI_SOCKOPT_BINDX_ADD;
    return result(setsockopt(fd, UAPI_SOL_SCTP, option, addresses, length));
}

int sctpio_connectx(int fd, const uint8_t *addresses, uint32_t length, int32_t *association_id)
{
    struct uapi_connectx argument = {0, (int32_t)length, (void *)(uintptr_t)addresses};
    socklen_t argument_length = sizeof argument;

    if (length > INT32_MAX)
        return -EINVAL;
    /* The id is written back with EINPROGRESS, too. */
    int status = result(getsockopt(fd, UAPI_SOL_SCTP, UAPI_SOCKOPT_CONNECTX3, &argument, &argument_length));
    *association_id = argument.assoc_id;
    return status;
}

int sctpio_addresses(int fd, int32_t association_id, int peer, uint8_t *out, uint32_t *length)
{
    /* The option's header is passed at the head of the caller's buffer, both ways. */
    struct uapi_getaddrs header = {association_id, 0};
    const uint32_t capacity = *length;
    socklen_t option_length = capacity;
    uint32_t used = sizeof header;

    if (capacity < sizeof header)
        return -ENOMEM;
    memcpy(out, &header, sizeof header);
    if (getsockopt(fd, UAPI_SOL_SCTP, peer ? UAPI_GET_PEER_ADDRS : UAPI_GET_LOCAL_ADDRS, out, &option_length) < 0)
        return -errno;
    memcpy(&header, out, sizeof header);

    /* Walked for the size: whether option_length counts the header differs between the two options. */
    for (uint32_t i = 0; i < header.addr_num; i++) {
        uint32_t entry = whole_sockaddr(out + used, capacity - used);
        if (entry == 0)
            return -EPROTO;
        used += entry;
    }
    *length = used - (uint32_t)sizeof header;
    memmove(out, out + sizeof header, *length);
    return (int)header.addr_num;
}

int sctpio_name(int fd, uint8_t *out, uint32_t *length)
{
    socklen_t name_length = *length;
    if (getsockname(fd, (struct sockaddr *)out, &name_length) < 0)
        return -errno;
    if (name_length > *length)
        return -EPROTO;
    *length = name_length;
    return 0;
}

int sctpio_getsockopt(int fd, int level, int name, uint8_t *value, uint32_t *length)
{
    socklen_t value_length = *length;
    int status = result(getsockopt(fd, level, name, value, &value_length));
    if (status < 0)
        return status;
    if (value_length > *length)
        return -EPROTO;
    *length = value_length;
    return status;
}

int sctpio_setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)
{
    return result(setsockopt(fd, level, name, value, length));
}

static void take_rcvinfo(const uint8_t *data, sctpio_record *record)
{
    struct uapi_rcvinfo info;
    memcpy(&info, data, sizeof info);
    record->association_id = info.assoc_id;
    record->ppid = ntohl(info.ppid);
    record->tsn = info.tsn;
    record->cumulative_tsn = info.cumtsn;
    record->context = info.context;
    record->stream = info.sid;
    record->ssn = info.ssn;
    record->flags = info.flags;
}

/* Kernels without RCVINFO give the same under other names. */
static void take_sndrcvinfo(const uint8_t *data, sctpio_record *record)
{
    struct uapi_sndrcvinfo info;
    memcpy(&info, data, sizeof info);
    struct uapi_rcvinfo same = {
        .sid = info.stream,
        .ssn = info.ssn,
        .flags = info.flags,
        .ppid = info.ppid,
        .tsn = info.tsn,
        .cumtsn = info.cumtsn,
        .context = info.context,
        .assoc_id = info.assoc_id,
    };
    take_rcvinfo((const uint8_t *)&same, record);
}

/* Without CMSG_NXTHDR, whose checks depend on the C library: here every step goes forward and stays inside.
 * Messages of other levels, and those too short for their type, are skipped. */
void sctpio_parse_control(const uint8_t *control, size_t length, sctpio_record *record)
{
    const size_t head = CMSG_LEN(0);
    int found = 0;

    while (length >= head) {
        struct cmsghdr header;
        memcpy(&header, control, sizeof header);
        if (header.cmsg_len < head || header.cmsg_len > length)
            break;
        size_t data_length = header.cmsg_len - head;
        if (header.cmsg_level == UAPI_SOL_SCTP) {
            if (header.cmsg_type == UAPI_RCVINFO && data_length >= sizeof(struct uapi_rcvinfo)) {
                take_rcvinfo(control + head, record);
                found = 1;
            } else if (header.cmsg_type == UAPI_SNDRCV && data_length >= sizeof(struct uapi_sndrcvinfo) && !found) {
                take_sndrcvinfo(control + head, record);
                found = 1;
            }
        }
        size_t step = CMSG_ALIGN(header.cmsg_len);
        if (step >= length)
            break;
        control += step;
        length -= step;
    }
    if (!found)
        record->msg_flags |= SCTPIO_NO_INFO;
}

/* One recvmsg: 1 with a record, 0 at the end of the association, or -errno. */
static int receive_one(int fd, uint8_t *room, uint32_t length, sctpio_record *record)
{
    _Alignas(struct cmsghdr) uint8_t control[RECEIVE_CONTROL];
    /* The kernel may fill less: equal sources are to have equal bytes. */
    memset(record->source, 0, sizeof record->source);
    struct iovec vector = {room, length};
    struct msghdr message = {
        .msg_name = record->source,
        .msg_namelen = sizeof record->source,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    ssize_t received;

    do
        received = recvmsg(fd, &message, MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;
    if ((size_t)received > length || message.msg_controllen > sizeof control)
        return -EPROTO;
    /* SCTP has no empty messages: 0 bytes that do not end a record mean the end of the association. */
    if (received == 0 && !(message.msg_flags & (MSG_EOR | UAPI_MSG_NOTIFICATION)))
        return 0;

    record->length = (uint32_t)received;
    record->msg_flags = message.msg_flags;
    record->source_length =
        (uint16_t)(message.msg_namelen > sizeof record->source ? sizeof record->source : message.msg_namelen);
    if (record->source_length == sizeof(struct sockaddr_in6))
        memset(record->source + offsetof(struct sockaddr_in6, sin6_scope_id), 0, sizeof(uint32_t));
    record->association_id = 0;
    record->ppid = record->tsn = record->cumulative_tsn = record->context = 0;
    record->stream = record->ssn = record->flags = 0;
    if (!(message.msg_flags & UAPI_MSG_NOTIFICATION))
        sctpio_parse_control(control, message.msg_controllen, record);
    return 1;
}

/* By recvmsg, not recvmmsg, which would report a pending socket error before the data that was queued ahead
 * of it. */
int sctpio_receive(int fd, uint8_t *arena, uint32_t arena_length, sctpio_record *records,
                   uint32_t capacity, int32_t *state)
{
    uint32_t used = 0, count = 0, room;

    if (arena_length == 0 || capacity == 0)
        return -EINVAL;
    *state = SCTPIO_MORE;
    while (count < capacity && (room = room_for_next(arena_length, used, count)) > 0) {
        sctpio_record *record = &records[count];
        int status = receive_one(fd, arena + used, room, record);
        if (status <= 0) {
            *state = status == 0 ? SCTPIO_EOF : status == -EWOULDBLOCK ? -EAGAIN : status;
            break;
        }
        record->offset = used;
        used = end_of(record, arena_length);
        count++;
    }
    return (int)count;
}

int sctpio_next_length(int fd)
{
    int length = 0; /* of what is at the head of the queue, unlike what TCP says */
    return ioctl(fd, FIONREAD, &length) < 0 ? -errno : length;
}

static uint8_t *put_control(uint8_t *at, int type, const void *data, size_t length)
{
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(length), .cmsg_level = UAPI_SOL_SCTP, .cmsg_type = type};
    memset(at, 0, CMSG_SPACE(length));
    memcpy(at, &header, sizeof header);
    memcpy(at + CMSG_LEN(0), data, length);
    return at + CMSG_SPACE(length);
}

/* Writes the control messages of one outgoing message: their length. */
static size_t fill_control(uint8_t *control, const sctpio_target *target, const sctpio_outgoing *message)
{
    uint8_t *at = control;

    if (target->legacy) {
        struct uapi_sndrcvinfo info = {
            .stream = message->stream,
            .flags = (uint16_t)(message->flags | message->pr_policy),
            .ppid = htonl(message->ppid),
            .context = message->context,
            .timetolive = message->pr_value,
            .assoc_id = target->association_id,
        };
        at = put_control(at, UAPI_SNDRCV, &info, sizeof info);
    } else {
        struct uapi_sndinfo info = {
            .sid = message->stream,
            .flags = message->flags,
            .ppid = htonl(message->ppid),
            .context = message->context,
            .assoc_id = target->association_id,
        };
        at = put_control(at, UAPI_SNDINFO, &info, sizeof info);
        if (message->pr_policy) {
            struct uapi_prinfo policy = {(uint16_t)message->pr_policy, message->pr_value};
            at = put_control(at, UAPI_PRINFO, &policy, sizeof policy);
        }
    }
    if (target->auth_key >= 0) {
        struct uapi_authinfo key = {(uint16_t)target->auth_key};
        at = put_control(at, UAPI_AUTHINFO, &key, sizeof key);
    }
    return (size_t)(at - control);
}

static void fill_message(struct msghdr *header, struct iovec *vector, uint8_t *control,
                         const sctpio_target *target, const sctpio_outgoing *message, const uint8_t *data)
{
    vector->iov_base = (void *)(uintptr_t)data;
    vector->iov_len = message->length;
    memset(header, 0, sizeof *header);
    if (target->address_length) {
        header->msg_name = (void *)(uintptr_t)target->address;
        header->msg_namelen = target->address_length;
    }
    header->msg_iov = vector;
    header->msg_iovlen = 1;
    header->msg_control = control;
    header->msg_controllen = fill_control(control, target, message);
}

int sctpio_send(int fd, const sctpio_target *target, const sctpio_outgoing *message, const uint8_t *data)
{
    _Alignas(struct cmsghdr) uint8_t control[SEND_CONTROL];
    struct iovec vector;
    struct msghdr header;
    ssize_t sent;

    if (target->address_length > sizeof target->address)
        return -EINVAL;
    fill_message(&header, &vector, control, target, message, data);
    do
        sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static int send_messages(int fd, struct mmsghdr *headers, uint32_t count, int flags)
{
    int sent;
    do
        sent = sendmmsg(fd, headers, count, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return result(sent);
}

/* Bundling. MSG_MORE makes an association hold its chunks until they fill a packet, or until a message without
 * the flag was taken; no SACK and no timer releases them (net/sctp: sctp_sendmsg_to_asoc,
 * sctp_packet_can_append_data). So the last message goes without it, and has to be one that will be taken:
 * one that fits into the send buffer together with those before it. */

/* No less than the kernel counts for a message in the send buffer: its structs and, as memory comes in powers
 * of two, twice its bytes, for each chunk. */
static int64_t most_space(uint32_t length) { return 2 * (int64_t)length + 1280 * (1 + (int64_t)length / 500); }

/* How many of the messages may share packets: those that surely fit into the send buffer, and end nothing. None
 * before Linux 4.12, which does not tell what is free, and whose MSG_MORE holds more than it should. */
static uint32_t bundle_of(int fd, const sctpio_outgoing *messages, uint32_t count)
{
    uint32_t memory[UAPI_MEMINFO_VARS] = {0}, number = 0;
    socklen_t length = sizeof memory;
    int64_t space;

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) < 0)
        return 0;
    space = (int64_t)memory[UAPI_MEMINFO_SNDBUF] - memory[UAPI_MEMINFO_WMEM_QUEUED];
    while (number < count && !(messages[number].flags & (SCTPIO_SEND_ABORT | SCTPIO_SEND_EOF)) &&
           (space -= most_space(messages[number].length)) > 0)
        number++;
    return number;
}

/* Makes the kernel send what is held: a heartbeat on each path, whose packet has space for most of it, and
 * once more for the rest. */
static void push_out(int fd, int32_t association_id)
{
    struct uapi_paddrparams heartbeat = {.assoc_id = association_id, .flags = UAPI_SPP_HB_DEMAND};
    for (int time = 0; time < 2; time++)
        (void)setsockopt(fd, UAPI_SOL_SCTP, UAPI_PEER_ADDR_PARAMS, &heartbeat, UAPI_PADDRPARAMS_LENGTH);
}

int sctpio_send_batch(int fd, const sctpio_target *target, const sctpio_outgoing *messages, uint32_t count,
                      const uint8_t *data, size_t data_length)
{
    _Alignas(struct cmsghdr) uint8_t control[SEND_BATCH][SEND_CONTROL];
    struct mmsghdr headers[SEND_BATCH];
    struct iovec vectors[SEND_BATCH];
    size_t used = 0;

    if (count == 0 || target->address_length > sizeof target->address)
        return -EINVAL;
    if (count > SEND_BATCH)
        count = SEND_BATCH;
    for (uint32_t i = 0; i < count; i++) {
        if (messages[i].length > data_length - used)
            return -EINVAL;
        fill_message(&headers[i].msg_hdr, &vectors[i], control[i], target, &messages[i], data + used);
        used += messages[i].length;
    }
    uint32_t together = target->bundle && count > 1 ? bundle_of(fd, messages, count) : 0;
    if (together < 2)
        return send_messages(fd, headers, count, 0);
    int held = send_messages(fd, headers, together - 1, MSG_MORE);
    if (held <= 0 || held >= (int)together)
        return held;
    /* After a short call this is the message that was refused. */
    if (send_messages(fd, headers + held, 1, 0) == 1)
        return held + 1;
    /* Refused although there was space: the host is out of memory, or the message larger than fragments may be. */
    push_out(fd, target->association_id);
    return held;
}

int sctpio_shutdown(int fd) { return result(shutdown(fd, SHUT_WR)); }

int sctpio_abort_on_close(int fd)
{
    struct linger linger = {1, 0};
    return result(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}
