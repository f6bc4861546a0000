/* Arrays of sockaddrs: those that a program passes, and those that a kernel may give for an association. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "usrsctp/shared.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_getsockname(int fd, struct sockaddr *name, socklen_t *length);

static const uint8_t *input;
static size_t left;

static void give(void *to, socklen_t *length)
{
    size_t step = left < *length ? left : *length;
    memcpy(to, input, step);
    /* How much there is, which may be more than there was space for. */
    *length = (socklen_t)left;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    (void)fd;
    (void)level;
    (void)name;
    give(value, length);
    return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *name, socklen_t *length)
{
    (void)fd;
    give(name, length);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t capacity = size ? data[0] * 8u : 0, length = capacity;
    uint8_t *out = malloc(capacity ? capacity : 1);

    if (!out)
        return 0;
    input = data + (size ? 1 : 0);
    left = size - (size ? 1 : 0);
    int count = count_addresses(input, (uint32_t)left);
    if (count == 0 || (count > 0 && (size_t)count * sizeof(struct sockaddr_in) > left))
        abort();
    int given = sctpio_addresses(-1, 0, 1, out, &length);
    if (given >= 0 && (length > capacity || (uint32_t)given * sizeof(struct sockaddr_in) > length ||
                       (length && count_addresses(out, length) != given)))
        abort();
    length = capacity;
    if (sctpio_name(-1, out, &length) == 0 && length > capacity)
        abort();
    length = capacity;
    if (sctpio_getsockopt(-1, 132, 0, out, &length) == 0 && length > capacity)
        abort();
    free(out);
    return 0;
}
