/* What a system call of the code under test is made to answer; read by the compiler and by cffi.
 *
 * Bytes are written as far as the caller gave room, as a kernel does; the lengths that are claimed
 * afterwards are the script's, whatever was written. */
typedef struct {
    int64_t result;          /* what the call returns, or -errno */
    uint64_t length;         /* claimed for the option, or for the control messages of recvmsg */
    uint32_t name_length;    /* claimed for the name */
    int32_t msg_flags;
    const uint8_t *bytes;    /* an option's value, a name, or the data of a message */
    uint32_t bytes_length;
    const uint8_t *control;
    uint32_t control_length;
    uint32_t no_room;        /* 1: the room is the test's lie, and must not be touched */
} double_answer;

/* The next calls take these in order; when they are used up, calls go to the kernel again. */
void double_script(const double_answer *answers, uint32_t count);

/* How many of the script's answers are left. */
uint32_t double_left(void);
