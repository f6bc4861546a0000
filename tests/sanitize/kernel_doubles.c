/* The system calls of csrc/kernel/kernel.c, by the linker's --wrap: scripted answers, else the real call.
 *
 * All of what a caller says is there is touched, so that the sanitizers see a caller that promises more
 * than it has. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "doubles.h"

static const double_answer *script;
static uint32_t left;

void double_script(const double_answer *answers, uint32_t count)
{
    script = answers;
    left = count;
}

uint32_t double_left(void) { return left; }

static const double_answer *next(void)
{
    if (left == 0)
        return NULL;
    left--;
    return script++;
}

static long conclude(const double_answer *answer)
{
    if (answer->result >= 0)
        return (long)answer->result;
    errno = (int)-answer->result;
    return -1;
}

static void read_all(const void *from, size_t size)
{
    static volatile uint8_t seen;
    for (size_t i = 0; i < size; i++)
        seen ^= ((const uint8_t *)from)[i];
}

/* Room that is written to the end, and then begins with the answer. */
static void fill(void *room, size_t size, const uint8_t *bytes, size_t length, const double_answer *answer)
{
    volatile uint8_t *to = room;
    for (size_t i = 0; i < size && !answer->no_room; i++)
        to[i] = to[i];
    if (length > size)
        length = size;
    if (length)
        memcpy(room, bytes, length);
}

static void read_message(const struct msghdr *message)
{
    read_all(message->msg_name, message->msg_namelen);
    read_all(message->msg_control, message->msg_controllen);
    for (size_t i = 0; i < message->msg_iovlen; i++)
        read_all(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
}

ssize_t __real_recvmsg(int, struct msghdr *, int);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    const double_answer *answer = next();
    if (!answer)
        return __real_recvmsg(fd, message, flags);
    fill(message->msg_name, message->msg_namelen, NULL, 0, answer);
    fill(message->msg_control, message->msg_controllen, answer->control, answer->control_length, answer);
    fill(message->msg_iov->iov_base, message->msg_iov->iov_len, answer->bytes, answer->bytes_length, answer);
    if (answer->result >= 0) { /* a failed call leaves the header as it was */
        message->msg_namelen = answer->name_length;
        message->msg_controllen = answer->length;
        message->msg_flags = answer->msg_flags;
    }
    return conclude(answer);
}

ssize_t __real_sendmsg(int, const struct msghdr *, int);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    const double_answer *answer = next();
    if (!answer)
        return __real_sendmsg(fd, message, flags);
    read_message(message);
    return conclude(answer);
}

int __real_sendmmsg(int, struct mmsghdr *, unsigned int, int);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    const double_answer *answer = next();
    if (!answer)
        return __real_sendmmsg(fd, messages, count, flags);
    for (unsigned int i = 0; i < count; i++)
        read_message(&messages[i].msg_hdr);
    return (int)conclude(answer);
}

int __real_getsockopt(int, int, int, void *, socklen_t *);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    const double_answer *answer = next();
    if (!answer)
        return __real_getsockopt(fd, level, option, value, length);
    fill(value, *length, answer->bytes, answer->bytes_length, answer);
    *length = (socklen_t)answer->length;
    return (int)conclude(answer);
}

int __real_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    const double_answer *answer = next();
    if (!answer)
        return __real_setsockopt(fd, level, option, value, length);
    read_all(value, length);
    return (int)conclude(answer);
}

static long fill_name(const double_answer *answer, struct sockaddr *name, socklen_t *length)
{
    fill(name, *length, answer->bytes, answer->bytes_length, answer);
    if (answer->result >= 0)
        *length = answer->name_length;
    return conclude(answer);
}

int __real_getsockname(int, struct sockaddr *, socklen_t *);
int __wrap_getsockname(int fd, struct sockaddr *name, socklen_t *length)
{
    const double_answer *answer = next();
    return answer ? (int)fill_name(answer, name, length) : __real_getsockname(fd, name, length);
}

int __real_accept4(int, struct sockaddr *, socklen_t *, int);
int __wrap_accept4(int fd, struct sockaddr *name, socklen_t *length, int flags)
{
    const double_answer *answer = next();
    return answer ? (int)fill_name(answer, name, length) : __real_accept4(fd, name, length, flags);
}
