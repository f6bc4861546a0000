/* libusrsctp behind the contract of sctpio.h. Python calls these with the GIL released. */
#include "usrsctp_private.h"

#include <stdlib.h>
#include <unistd.h>

/* The contract's numbers of what differs here: they are Linux's. */
#define CONTRACT_NOTIFICATION 0x8000
#define CONTRACT_UNORDERED 0x1
#define CONTRACT_ADDR_OVER 0x2
#define CONTRACT_ABORT 0x4
#define CONTRACT_SACK_IMMEDIATELY 0x8
#define CONTRACT_EOF 0x200
#define CONTRACT_PR_TTL 0x10
#define CONTRACT_PR_RTX 0x20
#define CONTRACT_PR_PRIO 0x30

#define LEAST_ROOM (64u * 1024)

/* Internal, but there in the static library: unlike usrsctp_accept it gives the socket also where the
 * association has ended meanwhile, with what had been received; else the socket would leak. */
extern int user_accept(struct socket *head, struct sockaddr **name, socklen_t *length,
                       struct socket **accepted) __attribute__((weak));

_Static_assert(sizeof(sctpio_record) == 68, "the codec unpacks records of 68 bytes");
_Static_assert(sizeof(sctpio_outgoing) == 24, "the codec packs outgoing messages of 24 bytes");

#define FIND(fd)                    \
    struct slot *slot;              \
    int status = find((fd), &slot); \
    if (status < 0)                 \
        return status

static int set(struct slot *slot, int level, int name, const void *value, socklen_t length)
{
    return LOCKED(usrsctp_setsockopt(slot->so, level, name, value, length)) < 0 ? failed() : 0;
}

/* Addresses */

/* The sockaddrs of a packed array; -EINVAL when they are not that. */
int count_addresses(const uint8_t *addresses, uint32_t length)
{
    int count = 0;
    for (uint32_t at = 0, step; at < length; at += step, count++) {
        if (length - at < sizeof(sa_family_t))
            return -EINVAL;
        step = sockaddr_length(addresses + at);
        if (step == 0 || step > length - at)
            return -EINVAL;
    }
    return count ? count : -EINVAL;
}

/* Sockets */

int sctpio_open(int family, int one_to_many)
{
    struct socket *so;
    struct slot *slot;
    int status, type = one_to_many ? SOCK_SEQPACKET : SOCK_STREAM;

    if (process.forked)
        return -ENOTRECOVERABLE;
    if (!process.started)
        return -ENOTCONN;
    status = reserve(&slot);
    if (status < 0)
        return status;
    so = LOCKED(usrsctp_socket(family, type, IPPROTO_SCTP, NULL, NULL, 0, NULL));
    if (so)
        return attach(slot, so, one_to_many);
    status = failed();
    give_back(slot);
    return status;
}

int sctpio_listen(int fd, int backlog)
{
    FIND(fd);
    /* One more waits than the backlog says, as with Linux. */
    if (backlog > 0 && backlog < INT32_MAX)
        backlog++;
    return LOCKED(usrsctp_listen(slot->so, backlog)) < 0 ? failed() : 0;
}

/* The source of what can be received first: the peer of an association that has ended already. */
static void first_source(struct socket *so, uint8_t *source, uint32_t *length)
{
    union sctp_sockstore from;
    struct sctp_rcvinfo info;
    socklen_t from_length = sizeof from, info_length = sizeof info;
    unsigned int type = 0;
    int flags = MSG_PEEK;
    uint8_t byte;

    memset(&from, 0, sizeof from);
    if (LOCKED(usrsctp_recvv(so, &byte, 1, &from.sa, &from_length, &info, &info_length, &type, &flags)) < 0)
        from.sa.sa_family = 0;
    uint32_t size = sockaddr_length(&from);
    *length = size < *length ? size : *length;
    memcpy(source, &from, *length);
}

static int accept_one(struct socket *listener, struct socket **accepted, uint8_t *source, uint32_t *length)
{
    struct sockaddr *name = NULL;
    socklen_t name_length = sizeof(struct sockaddr_in6);
    uint32_t size;
    int code;

    *accepted = NULL;
    if (user_accept) {
        code = user_accept(listener, &name, &name_length, accepted);
    } else {
        union sctp_sockstore store;
        *accepted = usrsctp_accept(listener, &store.sa, &name_length);
        code = *accepted ? 0 : errno;
    }
    if (!*accepted)
        return code ? -code : -EAGAIN;
    if (name) {
        size = sockaddr_length(name);
        *length = size < *length ? size : *length;
        memcpy(source, name, *length);
        free(name);
    } else {
        first_source(*accepted, source, length);
    }
    if (*length == 0) {
        /* Over, and nothing was received. */
        usrsctp_close(*accepted);
        return -ECONNABORTED;
    }
    return 0;
}

int sctpio_accept(int fd, uint8_t *source, uint32_t *source_length)
{
    struct socket *accepted;
    struct slot *fresh;
    FIND(fd);
    for (int turn = 0; !(usrsctp_get_events(slot->so) & (SCTP_EVENT_READ | SCTP_EVENT_ERROR)); turn++)
        if (!nothing_there(slot, turn))
            return -EAGAIN;
    status = reserve(&fresh);
    if (status < 0)
        return status;
    status = LOCKED(accept_one(slot->so, &accepted, source, source_length));
    if (status == 0)
        return attach(fresh, accepted, 0);
    give_back(fresh);
    return status;
}

int sctpio_peeloff(int fd, int32_t association_id)
{
    struct socket *so;
    struct slot *fresh;
    FIND(fd);
    status = reserve(&fresh);
    if (status < 0)
        return status;
    errno = 0;
    so = LOCKED(usrsctp_peeloff(slot->so, (sctp_assoc_t)association_id));
    status = so ? 0 : errno == ENOENT ? -EINVAL : failed();
    if (so)
        return attach(fresh, so, 0);
    give_back(fresh);
    return status;
}

int sctpio_bindx(int fd, const uint8_t *addresses, uint32_t length, int remove)
{
    FIND(fd);
    int count = count_addresses(addresses, length);
    if (count < 0)
        return count;
    if (LOCKED(usrsctp_bindx(slot->so, (struct sockaddr *)(uintptr_t)addresses, count,
                             remove ? SCTP_BINDX_REM_ADDR : SCTP_BINDX_ADD_ADDR)) < 0)
        status = failed();
    look_at(slot);
    return status;
}

int sctpio_connectx(int fd, const uint8_t *addresses, uint32_t length, int32_t *association_id)
{
    sctp_assoc_t identifier = 0;
    FIND(fd);
    int count = count_addresses(addresses, length);
    if (count < 0)
        return count;
    if (LOCKED(usrsctp_connectx(slot->so, (const struct sockaddr *)addresses, count, &identifier)) < 0)
        status = failed();
    *association_id = (int32_t)identifier;
    look_at(slot);
    return status;
}

int sctpio_addresses(int fd, int32_t association_id, int peer, uint8_t *out, uint32_t *length)
{
    struct sockaddr *found = NULL;
    uint32_t used = 0, step;
    FIND(fd);
    errno = 0;
    int count = peer ? LOCKED(usrsctp_getpaddrs(slot->so, (sctp_assoc_t)association_id, &found))
                     : LOCKED(usrsctp_getladdrs(slot->so, (sctp_assoc_t)association_id, &found));
    if (count < 0)
        /* ENOMEM stands for any failure there, and would ask for a larger buffer. */
        return errno == ENOMEM ? -EINVAL : failed();
    /* usrsctp gives the local ones in the reverse of the order in which they were bound. */
    uint32_t end = 0;
    for (int i = 0; i < count; i++)
        end += sockaddr_length((uint8_t *)found + end);
    if (end > *length)
        status = -ENOMEM;
    for (int i = 0; status == 0 && i < count; i++) {
        step = sockaddr_length((uint8_t *)found + used);
        memcpy(out + (peer ? used : end - used - step), (uint8_t *)found + used, step);
        used += step;
    }
    if (peer)
        usrsctp_freepaddrs(found);
    else
        usrsctp_freeladdrs(found);
    *length = used;
    return status < 0 ? status : count;
}

int sctpio_name(int fd, uint8_t *out, uint32_t *length)
{
    struct sockaddr *found = NULL;
    struct sockaddr_in unbound = {.sin_family = AF_INET};
    const void *name = &unbound;
    FIND(fd);
    int count = LOCKED(usrsctp_getladdrs(slot->so, 0, &found));
    if (count > 0)
        name = found;
    uint32_t size = sockaddr_length(name);
    if (size == 0 || size > *length) {
        status = -EPROTO;
    } else {
        memcpy(out, name, size);
        *length = size;
    }
    if (count >= 0)
        usrsctp_freeladdrs(found);
    return status;
}

int sctpio_remote_udp_port(int fd, uint16_t port)
{
    struct sctp_udpencaps option;
    FIND(fd);
    memset(&option, 0, sizeof option);
    option.sue_address.ss_family = AF_INET;
    option.sue_port = htons(port);
    return set(slot, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &option, sizeof option);
}

int sctpio_find(int fd, const uint8_t *address, uint32_t length, int32_t *association_id)
{
    struct sockaddr_in6 copy;
    FIND(fd);
    if (length > sizeof copy || count_addresses(address, length) != 1)
        return -EINVAL;
    memcpy(&copy, address, length);
    *association_id = (int32_t)LOCKED(usrsctp_getassocid(slot->so, (struct sockaddr *)&copy));
    return *association_id ? 0 : -ENOENT;
}

int sctpio_getsockopt(int fd, int level, int name, uint8_t *value, uint32_t *length)
{
    FIND(fd);
    socklen_t value_length = *length;
    if (LOCKED(usrsctp_getsockopt(slot->so, level, name, value, &value_length)) < 0)
        return failed();
    if (value_length > *length)
        return -EPROTO;
    *length = value_length;
    return 0;
}

int sctpio_setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)
{
    FIND(fd);
    status = set(slot, level, name, value, length);
    /* Turning an event on may bring one at once. */
    look_at(slot);
    return status;
}

/* Receiving */

/* One usrsctp_recvv: 1 with a record, 0 at the end of the association, or -errno. */
static int receive_one(struct socket *so, uint8_t *room, uint32_t length, sctpio_record *record)
{
    union sctp_sockstore from;
    struct sctp_rcvinfo info;
    socklen_t from_length = sizeof from, info_length = sizeof info;
    unsigned int type = SCTP_RECVV_NOINFO;
    int flags = 0;

    memset(&from, 0, sizeof from);
    memset(&info, 0, sizeof info);
    ssize_t received =
        LOCKED(usrsctp_recvv(so, room, length, &from.sa, &from_length, &info, &info_length, &type, &flags));
    if (received < 0)
        return failed();
    if ((size_t)received > length)
        return -EPROTO;
    if (received == 0 && !(flags & (MSG_EOR | MSG_NOTIFICATION)))
        return 0;

    memset(record, 0, sizeof *record);
    record->length = (uint32_t)received;
    record->msg_flags = (flags & MSG_EOR) | (flags & MSG_NOTIFICATION ? CONTRACT_NOTIFICATION : 0);
    record->source_length = (uint16_t)sockaddr_length(&from);
    if (from.sa.sa_family == AF_INET6)
        from.sin6.sin6_scope_id = 0;
    memcpy(record->source, &from, record->source_length);
    if (flags & MSG_NOTIFICATION)
        return 1;
    if (type != SCTP_RECVV_RCVINFO) {
        record->msg_flags |= SCTPIO_NO_INFO;
        return 1;
    }
    record->association_id = (int32_t)info.rcv_assoc_id;
    record->ppid = ntohl(info.rcv_ppid);
    record->tsn = info.rcv_tsn;
    record->cumulative_tsn = info.rcv_cumtsn;
    record->context = info.rcv_context;
    record->stream = info.rcv_sid;
    record->ssn = info.rcv_ssn;
    record->flags = info.rcv_flags & SCTP_UNORDERED ? CONTRACT_UNORDERED : 0;
    return 1;
}

/* usrsctp ends a message that an abort cut short as if it were whole. But it puts the event that says so
 * right behind it, before it marks the end. (The layout is what it writes; usrsctp.h has another.) */
static void unless_cut_short(sctpio_record *message, const uint8_t *event, size_t length)
{
    struct {
        uint16_t type, flags;
        uint32_t length, indication;
        uint16_t stream, ssn;
        uint32_t association_id;
    } aborted;

    if (message->msg_flags & CONTRACT_NOTIFICATION || length < sizeof aborted)
        return;
    memcpy(&aborted, event, sizeof aborted);
    if (aborted.type == SCTP_PARTIAL_DELIVERY_EVENT && aborted.indication == SCTP_PARTIAL_DELIVERY_ABORTED &&
        aborted.association_id == (uint32_t)message->association_id && aborted.stream == message->stream &&
        aborted.ssn == message->ssn)
        message->msg_flags &= ~MSG_EOR;
}

/* Whether an event tells of an association that was lost, with no ABORT chunk of either end. */
static uint8_t is_loss(const uint8_t *event, size_t length)
{
    struct sctp_assoc_change change;
    if (length != sizeof change)
        return 0;
    memcpy(&change, event, sizeof change);
    return change.sac_type == SCTP_ASSOC_CHANGE && change.sac_state == SCTP_COMM_LOST;
}

static void peek_behind(struct socket *so, sctpio_record *message)
{
    union sctp_sockstore from;
    struct sctp_rcvinfo info;
    socklen_t from_length = sizeof from, info_length = sizeof info;
    unsigned int type = 0;
    int flags = MSG_PEEK;
    uint8_t event[20];

    if (!(message->msg_flags & MSG_EOR))
        return;
    ssize_t length = LOCKED(
        usrsctp_recvv(so, event, sizeof event, &from.sa, &from_length, &info, &info_length, &type, &flags));
    if (length > 0 && flags & MSG_NOTIFICATION)
        unless_cut_short(message, event, (size_t)length);
}

int sctpio_receive(int fd, uint8_t *arena, uint32_t arena_length, sctpio_record *records,
                   uint32_t capacity, int32_t *state)
{
    uint32_t used = 0, count = 0;
    int turn = 0;

    if (arena_length == 0 || capacity == 0)
        return -EINVAL;
    *state = SCTPIO_MORE;
    struct slot *slot;
    int found = find(fd, &slot);
    if (found < 0) {
        *state = found;
        return 0;
    }
    while (count < capacity) {
        uint32_t room = arena_length - used;
        if (room == 0 || (count > 0 && room < LEAST_ROOM))
            break;
        sctpio_record *record = &records[count];
        int status = receive_one(slot->so, arena + used, room, record);
        if (status == -EWOULDBLOCK && nothing_there(slot, turn++))
            continue;
        /* usrsctp gives ECONNABORTED for all that ended an association here, a peer that is gone too. */
        if (status == -ECONNABORTED && slot->silent)
            status = -ETIMEDOUT;
        if (status <= 0) {
            *state = status == 0 ? SCTPIO_EOF : status == -EWOULDBLOCK ? -EAGAIN : status;
            break;
        }
        record->offset = used;
        if (record->msg_flags & CONTRACT_NOTIFICATION) {
            if (count > 0)
                unless_cut_short(record - 1, arena + used, record->length);
            slot->silent = is_loss(arena + used, record->length);
        }
        uint64_t next = ((uint64_t)used + record->length + 7u) & ~UINT64_C(7);
        used = next > arena_length ? arena_length : (uint32_t)next;
        count++;
    }
    if (count > 0 && *state == SCTPIO_MORE)
        peek_behind(slot->so, &records[count - 1]);
    return (int)count;
}

/* usrsctp gives no control messages. */
void sctpio_parse_control(const uint8_t *control, size_t length, sctpio_record *record)
{
    (void)control;
    (void)length;
    record->msg_flags |= SCTPIO_NO_INFO;
}

/* Sending */

static uint16_t own_flags(uint32_t flags)
{
    return (uint16_t)((flags & CONTRACT_UNORDERED ? SCTP_UNORDERED : 0) |
                      (flags & CONTRACT_ADDR_OVER ? SCTP_ADDR_OVER : 0) |
                      (flags & CONTRACT_ABORT ? SCTP_ABORT : 0) |
                      (flags & CONTRACT_SACK_IMMEDIATELY ? SCTP_SACK_IMMEDIATELY : 0) |
                      (flags & CONTRACT_EOF ? SCTP_EOF : 0));
}

static uint16_t own_policy(uint32_t policy)
{
    return policy == CONTRACT_PR_TTL ? SCTP_PR_SCTP_TTL
           : policy == CONTRACT_PR_RTX ? SCTP_PR_SCTP_RTX
           : policy == CONTRACT_PR_PRIO ? SCTP_PR_SCTP_BUF : SCTP_PR_SCTP_NONE;
}

static int send_once(struct slot *slot, const sctpio_target *target, const sctpio_outgoing *message,
                     const uint8_t *data)
{
    struct sctp_sendv_spa spa;
    struct sockaddr_in6 to;
    int addressed = target->address_length != 0;
    ssize_t sent;

    memset(&spa, 0, sizeof spa);
    memcpy(&to, target->address, sizeof to);
    spa.sendv_flags = SCTP_SEND_SNDINFO_VALID;
    spa.sendv_sndinfo.snd_sid = message->stream;
    spa.sendv_sndinfo.snd_flags = own_flags(message->flags);
    spa.sendv_sndinfo.snd_ppid = htonl(message->ppid);
    spa.sendv_sndinfo.snd_context = message->context;
    spa.sendv_sndinfo.snd_assoc_id = (sctp_assoc_t)target->association_id;
    if (message->pr_policy) {
        spa.sendv_flags |= SCTP_SEND_PRINFO_VALID;
        spa.sendv_prinfo.pr_policy = own_policy(message->pr_policy);
        spa.sendv_prinfo.pr_value = message->pr_value;
    }
    errno = 0;
    sent = LOCKED(usrsctp_sendv(slot->so, data, message->length, addressed ? (struct sockaddr *)&to : NULL,
                                addressed, &spa, sizeof spa, SCTP_SENDV_SPA, 0));
    if (sent >= 0)
        /* Whole or not at all is what usrsctp does without explicit EOR. */
        return (size_t)sent == message->length || message->flags & CONTRACT_ABORT ? 0 : -EIO;
    /* The association is no more, or its end has begun: how it ended comes by event and by receiving. */
    return errno == ENOENT || errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : failed();
}

int sctpio_send(int fd, const sctpio_target *target, const sctpio_outgoing *message, const uint8_t *data)
{
    FIND(fd);
    if (target->address_length &&
        (target->address_length > sizeof target->address ||
         count_addresses(target->address, target->address_length) != 1))
        return -EINVAL;
    if (target->auth_key >= 0)
        /* usrsctp_sendv refuses SCTP_AUTHINFO. */
        return -EOPNOTSUPP;
    status = send_once(slot, target, message, data);
    if (status == -EWOULDBLOCK) {
        set_blocked(slot, 1);
        /* Room that was made before we blocked brought no upcall that counts. */
        status = send_once(slot, target, message, data);
        if (status != -EWOULDBLOCK)
            set_blocked(slot, 0);
    }
    if (message->flags & (CONTRACT_ABORT | CONTRACT_EOF))
        look_at(slot);
    return status == -EWOULDBLOCK ? -EAGAIN : status;
}

int sctpio_send_plain(int fd, int32_t association_id, const uint8_t *data, uint32_t length,
                      uint16_t stream, uint16_t flags, uint32_t ppid, uint32_t context)
{
    sctpio_target target = {.association_id = association_id, .auth_key = -1};
    sctpio_outgoing message = {
        .length = length, .ppid = ppid, .context = context, .stream = stream, .flags = flags};
    return sctpio_send(fd, &target, &message, data);
}

int sctpio_send_batch(int fd, const sctpio_target *target, const sctpio_outgoing *messages, uint32_t count,
                      const uint8_t *data, size_t data_length)
{
    size_t used = 0;
    if (count == 0 || count > INT32_MAX)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        if (messages[i].length > data_length - used)
            return i ? (int)i : -EINVAL;
        int status = sctpio_send(fd, target, &messages[i], data + used);
        if (status < 0)
            return i ? (int)i : status;
        used += messages[i].length;
    }
    return (int)count;
}

int sctpio_shutdown(int fd)
{
    FIND(fd);
    if (LOCKED(usrsctp_shutdown(slot->so, SHUT_WR)) < 0)
        status = failed();
    look_at(slot);
    return status;
}

int sctpio_abort_on_close(int fd)
{
    const struct linger abortive = {1, 0};
    FIND(fd);
    return set(slot, SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
}
