/* The contract that every stack implements: bytes in, bytes out.
 *
 * Both the C compiler and cffi read this file, so it has plain declarations only: include <stdint.h> and
 * <stddef.h> before it. What holds for all functions:
 *   - they return a value >= 0, or -errno;
 *   - they never block, never raise SIGPIPE, and retry on EINTR;
 *   - they check every length that the peer or the kernel gives against the buffer that it describes;
 *   - they keep no pointers, and allocate no memory for messages;
 *   - a descriptor that sctpio_close has closed is -EBADF;
 *   - arrays of sockaddr are packed: each entry has the size of its own address family.
 * A stack in user space has a few more rules, which are in usrsctp/process.h.
 */

/* One received message, part of a message, or notification. Its data is arena[offset .. offset + length).
 * Numbers are in host order. The unused rest of source is 0, and so is the scope id of an IPv6 address, as
 * Linux 6.1 leaves it undefined. */
typedef struct {
    uint32_t offset;
    uint32_t length;
    int32_t msg_flags;
    int32_t association_id;
    uint32_t ppid;
    uint32_t tsn;
    uint32_t cumulative_tsn;
    uint32_t context;
    uint16_t stream;
    uint16_t ssn;
    uint16_t flags;
    uint16_t source_length;
    uint8_t source[28];
} sctpio_record;

/* One message to send. The payloads of a batch follow each other in one buffer. */
typedef struct {
    uint32_t length;
    uint32_t ppid;
    uint32_t context;
    uint32_t pr_value;
    uint16_t stream;
    uint16_t flags;
    uint32_t pr_policy;
} sctpio_outgoing;

/* Flags in sctpio_record.msg_flags: those of recvmsg on Linux, and NO_INFO for data that came without usable
 * receive information. */
#define SCTPIO_CTRUNC 0x8
#define SCTPIO_EOR 0x80
#define SCTPIO_NOTIFICATION 0x8000
#define SCTPIO_NO_INFO 0x40000000

/* Flags of a message that is sent (sctpio_outgoing.flags) or was received (sctpio_record.flags): Linux's
 * sinfo_flags. */
#define SCTPIO_UNORDERED 0x1
#define SCTPIO_ADDR_OVER 0x2
#define SCTPIO_SEND_ABORT 0x4
#define SCTPIO_SACK_IMMEDIATELY 0x8
#define SCTPIO_SEND_EOF 0x200

/* Policies of partial reliability (sctpio_outgoing.pr_policy). */
#define SCTPIO_PR_TTL 0x10
#define SCTPIO_PR_RTX 0x20
#define SCTPIO_PR_PRIO 0x30

/* How a batch ended, from sctpio_receive: one of these, or -errno. */
#define SCTPIO_MORE 0
#define SCTPIO_EOF 1

/* Where to send, and with which control messages. */
typedef struct {
    int32_t association_id;   /* 0 on a one-to-one socket */
    int32_t auth_key;         /* SCTP_AUTHINFO key number, or -1 */
    uint32_t address_length;  /* 0: the primary path */
    uint32_t legacy;          /* 1: SCTP_SNDRCV in place of SCTP_SNDINFO and SCTP_PRINFO */
    uint8_t address[28];
    uint32_t bundle;          /* 1: the messages of a batch may share packets */
} sctpio_target;

/* Tells whether sockets of this stack can be made here: 0, or the -errno of the attempt. */
int sctpio_probe(void);

/* Makes a non-blocking, close-on-exec socket. */
int sctpio_open(int family, int one_to_many);
int sctpio_close(int fd);
int sctpio_listen(int fd, int backlog);
int sctpio_accept(int fd, uint8_t *source, uint32_t *source_length);
int sctpio_peeloff(int fd, int32_t association_id);

/* Adds local addresses, or removes them. The first call binds the socket. */
int sctpio_bindx(int fd, const uint8_t *addresses, uint32_t length, int remove);

/* Starts an association with the peer at one or more addresses. The usual result is -EINPROGRESS. */
int sctpio_connectx(int fd, const uint8_t *addresses, uint32_t length, int32_t *association_id);

/* Gives the addresses of an association, or of the endpoint when association_id is 0; returns their number.
 * -ENOMEM asks for a larger buffer. *length is the size of `out`, and then how much of it was used. */
int sctpio_addresses(int fd, int32_t association_id, int peer, uint8_t *out, uint32_t *length);
int sctpio_name(int fd, uint8_t *out, uint32_t *length);

/* `value` is read and written: SCTP's queries name an association or a path in it. */
int sctpio_getsockopt(int fd, int level, int name, uint8_t *value, uint32_t *length);
int sctpio_setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length);

/* Receives until nothing is left (*state = -EAGAIN), the association has ended (SCTPIO_EOF), the socket has
 * failed (-errno), or the records or the arena are used up (SCTPIO_MORE). Returns the number of records, which
 * have what was received before the end or the failure. */
int sctpio_receive(int fd, uint8_t *arena, uint32_t arena_length, sctpio_record *records,
                   uint32_t capacity, int32_t *state);

/* Tells how many bytes the next receive has of one message, part of a message or notification; 0 if nothing is
 * queued, or the stack cannot tell. */
int sctpio_next_length(int fd);

/* Fills in a data record from the control messages of one recvmsg. */
void sctpio_parse_control(const uint8_t *control, size_t length, sctpio_record *record);

/* Sends one message of `message->length` bytes at `data`, whole or not at all. */
int sctpio_send(int fd, const sctpio_target *target, const sctpio_outgoing *message, const uint8_t *data);

/* The same without structs, for the usual message. */
int sctpio_send_plain(int fd, int32_t association_id, const uint8_t *data, uint32_t length,
                      uint16_t stream, uint16_t flags, uint32_t ppid, uint32_t context);

/* Sends messages in order; returns how many were sent (at least 1), or the -errno of the first. Nothing that
 * was sent is held back when it returns: where messages share packets, the last one takes the others along. */
int sctpio_send_batch(int fd, const sctpio_target *target, const sctpio_outgoing *messages, uint32_t count,
                      const uint8_t *data, size_t data_length);

/* Sends what is queued, then SHUTDOWN. For one-to-one sockets only. */
int sctpio_shutdown(int fd);

/* Makes a later sctpio_close send ABORT at once. */
int sctpio_abort_on_close(int fd);
