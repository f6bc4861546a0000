/* The contract that every stack fulfils: bytes in, bytes out.
 *
 * The C compiler and cffi both read this file, so it holds plain declarations only; who includes it
 * includes <stdint.h> and <stddef.h> first. Rules for all functions:
 *   - the result is >= 0, or -errno;
 *   - nothing blocks, nothing raises SIGPIPE, EINTR is retried;
 *   - every length given by the peer or the kernel is checked against the buffer that it describes;
 *   - no function keeps a pointer or allocates memory;
 *   - sockaddr arrays are packed: each entry has the size of its own address family.
 */

/* One received message, part of a message, or notification. data lies at arena[offset .. offset + length).
 * Numbers are in host order. What source does not fill is 0, and so is the scope id of an IPv6 address, which
 * Linux 6.1 leaves undefined. */
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

/* One message of a batch to send; the payloads follow each other in one buffer. */
typedef struct {
    uint32_t length;
    uint32_t ppid;
    uint32_t context;
    uint32_t pr_value;
    uint16_t stream;
    uint16_t flags;
    uint32_t pr_policy;
} sctpio_outgoing;

/* Set in sctpio_record.msg_flags when a data record came without usable receive information. */
#define SCTPIO_NO_INFO 0x40000000

/* How a batch ended (the state that sctpio_receive gives): negative values are -errno. */
#define SCTPIO_MORE 0
#define SCTPIO_EOF 1

/* Where to send, and with which control messages. */
typedef struct {
    int32_t association_id;   /* 0 on a one-to-one socket */
    int32_t auth_key;         /* SCTP_AUTHINFO key number, or -1 */
    uint32_t address_length;  /* 0: the primary path */
    uint32_t legacy;          /* 1: SCTP_SNDRCV in place of SCTP_SNDINFO and SCTP_PRINFO */
    uint8_t address[28];
} sctpio_target;

/* Whether sockets of this stack can be made here: 0 or the -errno of trying. */
int sctpio_probe(void);

/* A new non-blocking, close-on-exec socket. */
int sctpio_open(int family, int one_to_many);
int sctpio_close(int fd);
int sctpio_listen(int fd, int backlog);
int sctpio_accept(int fd, uint8_t *source, uint32_t *source_length);
int sctpio_peeloff(int fd, int32_t association_id);

/* Adds (or removes) local addresses; an unbound socket is bound. */
int sctpio_bindx(int fd, const uint8_t *addresses, uint32_t length, int remove);

/* Starts an association with a peer of one or more addresses; -EINPROGRESS is the usual answer. */
int sctpio_connectx(int fd, const uint8_t *addresses, uint32_t length, int32_t *association_id);

/* Addresses of an association (of the endpoint when association_id is 0): their number. -ENOMEM asks
 * for a larger buffer. *length is the capacity of `out`, then the bytes written. */
int sctpio_addresses(int fd, int32_t association_id, int peer, uint8_t *out, uint32_t *length);
int sctpio_name(int fd, uint8_t *out, uint32_t *length);

/* `value` goes in and comes out: SCTP's queries name an association or a path in the buffer. */
int sctpio_getsockopt(int fd, int level, int name, uint8_t *value, uint32_t *length);
int sctpio_setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length);

/* Receives until the socket is empty (*state = -EAGAIN), has ended (SCTPIO_EOF), has failed (-errno),
 * or records or arena are used up (SCTPIO_MORE). Returns the number of records. What was received
 * before an end or a failure is in the records of the same call. */
int sctpio_receive(int fd, uint8_t *arena, uint32_t arena_length, sctpio_record *records,
                   uint32_t capacity, int32_t *state);

/* Fills a data record from the control messages of one recvmsg. */
void sctpio_parse_control(const uint8_t *control, size_t length, sctpio_record *record);

/* Sends one message whole, or nothing. `message->length` bytes are read from `data`. */
int sctpio_send(int fd, const sctpio_target *target, const sctpio_outgoing *message, const uint8_t *data);

/* The same for scalars, so that the usual message needs no struct. */
int sctpio_send_plain(int fd, int32_t association_id, const uint8_t *data, uint32_t length,
                      uint16_t stream, uint16_t flags, uint32_t ppid, uint32_t context);

/* Sends messages in order: how many were sent (at least 1), or -errno of the first. */
int sctpio_send_batch(int fd, const sctpio_target *target, const sctpio_outgoing *messages, uint32_t count,
                      const uint8_t *data, size_t data_length);

/* One-to-one only: sends what is queued, then SHUTDOWN. */
int sctpio_shutdown(int fd);

/* Makes the coming sctpio_close send ABORT at once. */
int sctpio_abort_on_close(int fd);
