/* A batch from a kernel that may say anything about what it has received.
 *
 * The input answers one recvmsg after the other: its result, the lengths that it claims, its flags, its control
 * messages and its data. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sctpio.h"

#define CAPACITY 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

static const uint8_t *input;
static size_t left;

static uint32_t number(size_t bytes)
{
    uint32_t value = 0;
    for (; bytes && left; bytes--, left--)
        value = value << 8 | *input++;
    return value;
}

static void copy(void *to, size_t most, size_t length)
{
    if (length > most)
        length = most;
    if (length > left)
        length = left;
    memcpy(to, input, length);
    input += length;
    left -= length;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    (void)fd;
    (void)flags;
    if (!left) {
        errno = EAGAIN;
        return -1;
    }
    uint32_t kind = number(1), result = number(kind & 1 ? 4 : 2), control = number(2);
    if (kind & 2) {
        errno = (int)(result & 127);
        return -1;
    }
    copy(message->msg_control, message->msg_controllen, control);
    copy(message->msg_name, message->msg_namelen, kind >> 2 & 31);
    copy(message->msg_iov->iov_base, message->msg_iov->iov_len, result);
    message->msg_controllen = control;
    message->msg_namelen = kind & 128 ? kind << 4 : kind >> 2 & 31;
    message->msg_flags = (int)number(4);
    return (ssize_t)result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sctpio_record records[CAPACITY];
    int32_t state = 12345;
    uint32_t arena_length, end = 0;
    uint8_t *arena;

    input = data;
    left = size;
    /* A batch goes on while 64 KiB are left. */
    arena_length = number(1);
    arena_length = arena_length & 1 ? arena_length * 1024 : arena_length;
    arena = malloc(arena_length ? arena_length : 1);
    if (!arena)
        return 0;
    int count = sctpio_receive(-1, arena, arena_length, records, CAPACITY, &state);
    if (count > CAPACITY || (count < 0) != (arena_length == 0) || (count >= 0 && state > SCTPIO_EOF))
        abort();
    for (int i = 0; i < count; i++) {
        if (records[i].offset < end || records[i].offset > arena_length ||
            records[i].length > arena_length - records[i].offset ||
            records[i].source_length > sizeof records[i].source)
            abort();
        end = records[i].offset + records[i].length;
    }
    free(arena);
    return 0;
}
