/* What the stacks have in common: how a batch fills its arena, and the walk over packed addresses. */
#ifndef SCTPIO_COMMON_H
#define SCTPIO_COMMON_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "sctpio.h"

/* A batch stops early rather than split a message because less than this is left of the arena. */
#define LEAST_ROOM (64u * 1024)

/* How much of the arena the next message may fill; 0 when the batch is complete. */
static inline uint32_t room_for_next(uint32_t arena_length, uint32_t used, uint32_t count)
{
    uint32_t room = arena_length - used;
    return count > 0 && room < LEAST_ROOM ? 0 : room;
}

/* Where the message after `record` begins: aligned, so that events can be read as the structs they are. */
static inline uint32_t end_of(const sctpio_record *record, uint32_t arena_length)
{
    uint64_t end = ((uint64_t)record->offset + record->length + 7u) & ~UINT64_C(7);
    return end > arena_length ? arena_length : (uint32_t)end;
}

/* The size of a sockaddr by its family; 0 for a family that SCTP does not have. */
static inline uint32_t sockaddr_length(const void *address)
{
    sa_family_t family;
    memcpy(&family, address, sizeof family);
    return family == AF_INET    ? sizeof(struct sockaddr_in)
           : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                : 0;
}

/* The size of the sockaddr at `at`; 0 unless all of it lies within `left` bytes. */
static inline uint32_t whole_sockaddr(const uint8_t *at, uint32_t left)
{
    uint32_t length = left < sizeof(sa_family_t) ? 0 : sockaddr_length(at);
    return length > left ? 0 : length;
}

#endif
