/* The contract of sctpio.h over libusrsctp. Python calls these functions with the GIL released. */
#include "shared.h"

#include <stdlib.h>

/* Internal, but present in the static library. Unlike usrsctp_accept it also returns the socket of an
 * association that has ended meanwhile, with what had been received; otherwise that socket would leak. */
extern int user_accept(struct socket *head, struct sockaddr **name, socklen_t *length,
                       struct socket **accepted) __attribute__((weak));

static int set(struct slot *slot, int level, int name, const void *value, socklen_t length)
{
    return usrsctp_setsockopt(slot->so, level, name, value, length) < 0 ? failed() : 0;
}

/* Sockets */

/* Puts what a call made, or NULL, into the slot that was reserved for it. */
static int conclude(struct slot *fresh, struct socket *so, int many, int error)
{
    if (so)
        return attach(fresh, so, many);
    give_back(fresh);
    return error;
}

int sctpio_open(int family, int one_to_many)
{
    int type = one_to_many ? SOCK_SEQPACKET : SOCK_STREAM;
    struct slot *fresh;
    int status = enter();

    if (status < 0)
        return status;
    status = reserve(&fresh);
    if (status == 0) {
        errno = 0;
        struct socket *so = usrsctp_socket(family, type, IPPROTO_SCTP, NULL, NULL, 0, NULL);
        status = conclude(fresh, so, one_to_many, failed());
    }
    leave();
    return status;
}

int sctpio_listen(int fd, int backlog)
{
    ENTER(fd);
    /* As on Linux, one more may wait than the backlog says. */
    if (backlog > 0 && backlog < INT32_MAX)
        backlog++;
    return usrsctp_listen(slot->so, backlog) < 0 ? failed() : 0;
}

/* The source of the first message or event that can be received: the peer, where the association has ended. */
static void first_source(struct socket *so, uint8_t *source, uint32_t *length)
{
    union sctp_sockstore from;
    struct sctp_rcvinfo info;
    socklen_t from_length = sizeof from, info_length = sizeof info;
    unsigned int type = 0;
    int flags = MSG_PEEK;
    uint8_t byte;

    memset(&from, 0, sizeof from);
    if (usrsctp_recvv(so, &byte, 1, &from.sa, &from_length, &info, &info_length, &type, &flags) < 0)
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
        /* It has ended, and nothing was received. */
        usrsctp_close(*accepted);
        return -ECONNABORTED;
    }
    return 0;
}

int sctpio_accept(int fd, uint8_t *source, uint32_t *source_length)
{
    struct socket *accepted;
    struct slot *fresh;
    ENTER(fd);
    if (!(usrsctp_get_events(slot->so) & (SCTP_EVENT_READ | SCTP_EVENT_ERROR))) {
        found_nothing(slot);
        return -EAGAIN;
    }
    status = reserve(&fresh);
    if (status < 0)
        return status;
    status = accept_one(slot->so, &accepted, source, source_length);
    return conclude(fresh, status < 0 ? NULL : accepted, 0, status);
}

int sctpio_peeloff(int fd, int32_t association_id)
{
    struct socket *so;
    struct slot *fresh;
    ENTER(fd);
    status = reserve(&fresh);
    if (status < 0)
        return status;
    errno = 0;
    so = usrsctp_peeloff(slot->so, (sctp_assoc_t)association_id);
    return conclude(fresh, so, 0, errno == ENOENT ? -EINVAL : failed());
}

int sctpio_bindx(int fd, const uint8_t *addresses, uint32_t length, int remove)
{
    ENTER(fd);
    int count = count_addresses(addresses, length);
    if (count < 0)
        return count;
    if (usrsctp_bindx(slot->so, (struct sockaddr *)(uintptr_t)addresses, count,
                      remove ? SCTP_BINDX_REM_ADDR : SCTP_BINDX_ADD_ADDR) < 0)
        status = failed();
    signal_all(slot);
    return status;
}

int sctpio_connectx(int fd, const uint8_t *addresses, uint32_t length, int32_t *association_id)
{
    sctp_assoc_t identifier = 0;
    ENTER(fd);
    int count = count_addresses(addresses, length);
    if (count < 0)
        return count;
    if (usrsctp_connectx(slot->so, (const struct sockaddr *)addresses, count, &identifier) < 0)
        status = failed();
    *association_id = (int32_t)identifier;
    signal_all(slot);
    return status;
}

int sctpio_addresses(int fd, int32_t association_id, int peer, uint8_t *out, uint32_t *length)
{
    struct sockaddr *found = NULL;
    uint32_t used = 0, step;
    ENTER(fd);
    errno = 0;
    int count = peer ? usrsctp_getpaddrs(slot->so, (sctp_assoc_t)association_id, &found)
                     : usrsctp_getladdrs(slot->so, (sctp_assoc_t)association_id, &found);
    if (count < 0)
        /* usrsctp says ENOMEM for any failure here; in the contract it asks for a larger buffer. */
        return errno == ENOMEM ? -EINVAL : failed();
    /* usrsctp gives local addresses in the reverse of the order in which they were bound. */
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
    ENTER(fd);
    int count = usrsctp_getladdrs(slot->so, 0, &found);
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
    ENTER(fd);
    memset(&option, 0, sizeof option);
    option.sue_address.ss_family = AF_INET;
    option.sue_port = htons(port);
    return set(slot, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &option, sizeof option);
}

int sctpio_find(int fd, const uint8_t *address, uint32_t length, int32_t *association_id)
{
    struct sockaddr_in6 copy;
    ENTER(fd);
    if (length > sizeof copy || count_addresses(address, length) != 1)
        return -EINVAL;
    memcpy(&copy, address, length);
    *association_id = (int32_t)usrsctp_getassocid(slot->so, (struct sockaddr *)&copy);
    return *association_id ? 0 : -ENOENT;
}

int sctpio_getsockopt(int fd, int level, int name, uint8_t *value, uint32_t *length)
{
    ENTER(fd);
    socklen_t value_length = *length;
    if (usrsctp_getsockopt(slot->so, level, name, value, &value_length) < 0)
        return failed();
    if (value_length > *length)
        return -EPROTO;
    *length = value_length;
    return 0;
}

int sctpio_setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)
{
    ENTER(fd);
    status = set(slot, level, name, value, length);
    /* Subscribing to an event may bring one at once. */
    signal_all(slot);
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
        usrsctp_recvv(so, room, length, &from.sa, &from_length, &info, &info_length, &type, &flags);
    if (received < 0)
        return failed();
    if ((size_t)received > length)
        return -EPROTO;
    if (received == 0 && !(flags & (MSG_EOR | MSG_NOTIFICATION)))
        return 0;

    memset(record, 0, sizeof *record);
    record->length = (uint32_t)received;
    record->msg_flags = (flags & MSG_EOR) | (flags & MSG_NOTIFICATION ? SCTPIO_NOTIFICATION : 0);
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
    record->flags = info.rcv_flags & SCTP_UNORDERED ? SCTPIO_UNORDERED : 0;
    return 1;
}

/* Withdraws MSG_EOR from a message that an abort cut short: usrsctp marks its end as if it were whole, but has
 * put the event that says so right behind it. (This is the event as it is written; usrsctp.h differs.) */
static void check_for_abort(sctpio_record *message, const uint8_t *event, size_t length)
{
    struct {
        uint16_t type, flags;
        uint32_t length, indication;
        uint16_t stream, ssn;
        uint32_t association_id;
    } aborted;

    if (message->msg_flags & SCTPIO_NOTIFICATION || length < sizeof aborted)
        return;
    memcpy(&aborted, event, sizeof aborted);
    if (aborted.type == SCTP_PARTIAL_DELIVERY_EVENT && aborted.indication == SCTP_PARTIAL_DELIVERY_ABORTED &&
        aborted.association_id == (uint32_t)message->association_id && aborted.stream == message->stream &&
        aborted.ssn == message->ssn)
        message->msg_flags &= ~MSG_EOR;
}

/* Whether an event reports an association as lost without an ABORT from either end. */
static uint8_t is_loss(const uint8_t *event, size_t length)
{
    struct sctp_assoc_change change;
    if (length != sizeof change)
        return 0;
    memcpy(&change, event, sizeof change);
    return change.sac_type == SCTP_ASSOC_CHANGE && change.sac_state == SCTP_COMM_LOST;
}

/* The same for the last message of a batch, whose event is still queued. */
static void check_last(struct socket *so, sctpio_record *message)
{
    union sctp_sockstore from;
    struct sctp_rcvinfo info;
    socklen_t from_length = sizeof from, info_length = sizeof info;
    unsigned int type = 0;
    int flags = MSG_PEEK;
    uint8_t event[20];

    if (!(message->msg_flags & MSG_EOR))
        return;
    ssize_t length =
        usrsctp_recvv(so, event, sizeof event, &from.sa, &from_length, &info, &info_length, &type, &flags);
    if (length > 0 && flags & MSG_NOTIFICATION)
        check_for_abort(message, event, (size_t)length);
}

static uint32_t receive_batch(struct slot *slot, uint8_t *arena, uint32_t arena_length,
                              sctpio_record *records, uint32_t capacity, int32_t *state)
{
    uint32_t used = 0, count = 0, room;

    *state = SCTPIO_MORE;
    while (count < capacity && (room = room_for_next(arena_length, used, count)) > 0) {
        sctpio_record *record = &records[count];
        int status = receive_one(slot->so, arena + used, room, record);
        if (status == -EWOULDBLOCK)
            found_nothing(slot);
        /* usrsctp says ECONNABORTED whatever ended an association, also when the peer just fell silent. */
        if (status == -ECONNABORTED && slot->silent)
            status = -ETIMEDOUT;
        if (status <= 0) {
            *state = status == 0 ? SCTPIO_EOF : status == -EWOULDBLOCK ? -EAGAIN : status;
            break;
        }
        record->offset = used;
        if (record->msg_flags & SCTPIO_NOTIFICATION) {
            if (count > 0)
                check_for_abort(record - 1, arena + used, record->length);
            slot->silent = is_loss(arena + used, record->length);
        }
        used = end_of(record, arena_length);
        count++;
    }
    if (count > 0 && *state == SCTPIO_MORE)
        check_last(slot->so, &records[count - 1]);
    return count;
}

int sctpio_receive(int fd, uint8_t *arena, uint32_t arena_length, sctpio_record *records,
                   uint32_t capacity, int32_t *state)
{
    struct slot *slot __attribute__((cleanup(leave_slot))) = NULL;
    int status;

    if (arena_length == 0 || capacity == 0)
        return -EINVAL;
    status = enter_slot(fd, &slot);
    if (status == 0)
        return (int)receive_batch(slot, arena, arena_length, records, capacity, state);
    /* A child is told by the result. A state would end the association there, and with it the polling: of the
     * epoll that the child shares with its parent. */
    if (status == -ENOTRECOVERABLE)
        return status;
    heard_of_end(fd);
    *state = status;
    return 0;
}

/* usrsctp tells of all that is queued together. */
int sctpio_next_length(int fd)
{
    (void)fd;
    return 0;
}

/* usrsctp has no control messages. */
void sctpio_parse_control(const uint8_t *control, size_t length, sctpio_record *record)
{
    (void)control;
    (void)length;
    record->msg_flags |= SCTPIO_NO_INFO;
}

/* Sending */

static uint16_t usrsctp_flags(uint32_t flags)
{
    return (uint16_t)((flags & SCTPIO_UNORDERED ? SCTP_UNORDERED : 0) |
                      (flags & SCTPIO_ADDR_OVER ? SCTP_ADDR_OVER : 0) |
                      (flags & SCTPIO_SEND_ABORT ? SCTP_ABORT : 0) |
                      (flags & SCTPIO_SACK_IMMEDIATELY ? SCTP_SACK_IMMEDIATELY : 0) |
                      (flags & SCTPIO_SEND_EOF ? SCTP_EOF : 0));
}

static uint16_t usrsctp_policy(uint32_t policy)
{
    return policy == SCTPIO_PR_TTL ? SCTP_PR_SCTP_TTL
           : policy == SCTPIO_PR_RTX ? SCTP_PR_SCTP_RTX
           : policy == SCTPIO_PR_PRIO ? SCTP_PR_SCTP_BUF : SCTP_PR_SCTP_NONE;
}

static int send_now(struct slot *slot, const sctpio_target *target, const sctpio_outgoing *message,
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
    spa.sendv_sndinfo.snd_flags = usrsctp_flags(message->flags);
    spa.sendv_sndinfo.snd_ppid = htonl(message->ppid);
    spa.sendv_sndinfo.snd_context = message->context;
    spa.sendv_sndinfo.snd_assoc_id = (sctp_assoc_t)target->association_id;
    if (message->pr_policy) {
        spa.sendv_flags |= SCTP_SEND_PRINFO_VALID;
        spa.sendv_prinfo.pr_policy = usrsctp_policy(message->pr_policy);
        spa.sendv_prinfo.pr_value = message->pr_value;
    }
    errno = 0;
    sent = usrsctp_sendv(slot->so, data, message->length, addressed ? (struct sockaddr *)&to : NULL, addressed,
                         &spa, sizeof spa, SCTP_SENDV_SPA, 0);
    if (sent >= 0)
        /* Without explicit EOR, usrsctp sends a message whole or not at all. */
        return (size_t)sent == message->length || message->flags & SCTPIO_SEND_ABORT ? 0 : -EIO;
    /* The association has ended or begun to end: events, and receiving, tell how. */
    return errno == ENOENT || errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : failed();
}

int sctpio_send(int fd, const sctpio_target *target, const sctpio_outgoing *message, const uint8_t *data)
{
    ENTER(fd);
    if (target->address_length &&
        (target->address_length > sizeof target->address ||
         count_addresses(target->address, target->address_length) != 1))
        return -EINVAL;
    if (target->auth_key >= 0)
        /* usrsctp_sendv refuses SCTP_AUTHINFO. */
        return -EOPNOTSUPP;
    status = send_now(slot, target, message, data);
    if (status == -EWOULDBLOCK) {
        found_no_room(slot);
        status = -EAGAIN;
    }
    if (message->flags & (SCTPIO_SEND_ABORT | SCTPIO_SEND_EOF))
        signal_all(slot);
    return status;
}

/* Sets NODELAY; returns 1 if that changes it. */
static int change_nodelay(int fd, int on)
{
    int before = on;
    socklen_t length = sizeof before;
    ENTER(fd);
    if (usrsctp_getsockopt(slot->so, IPPROTO_SCTP, SCTP_NODELAY, &before, &length) < 0 || !before == !on)
        return 0;
    return set(slot, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on) == 0;
}

/* usrsctp has no MSG_MORE. Nagle's algorithm makes it hold small messages until they fill a packet, or until
 * what is under way is acknowledged; so it begins with the second one. The last one goes with NODELAY again, and
 * takes along what is held. If there is no space for it, the next SACK does. */
int sctpio_send_batch(int fd, const sctpio_target *target, const sctpio_outgoing *messages, uint32_t count,
                      const uint8_t *data, size_t data_length)
{
    size_t used = 0;
    uint32_t sent = 0;
    int status = -EINVAL, holds = target->bundle && count > 2 && change_nodelay(fd, 0) == 1;

    if (count > INT32_MAX)
        return -EINVAL;
    for (; sent < count && messages[sent].length <= data_length - used; sent++) {
        if (holds && sent == count - 1)
            holds = change_nodelay(fd, 1) != 1;
        status = sctpio_send(fd, target, &messages[sent], data + used);
        if (status < 0)
            break;
        used += messages[sent].length;
    }
    if (holds)
        change_nodelay(fd, 1);
    return sent ? (int)sent : status;
}

int sctpio_shutdown(int fd)
{
    ENTER(fd);
    if (usrsctp_shutdown(slot->so, SHUT_WR) < 0)
        status = failed();
    signal_all(slot);
    return status;
}

int sctpio_abort_on_close(int fd)
{
    const struct linger abortive = {1, 0};
    ENTER(fd);
    return set(slot, SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
}
