/* Functions of the contract that are the same for every stack. */
#include "common.h"

_Static_assert(sizeof(sctpio_record) == 68, "the codec unpacks records of 68 bytes");
_Static_assert(sizeof(sctpio_outgoing) == 24, "the codec packs outgoing messages of 24 bytes");

int sctpio_send_plain(int fd, int32_t association_id, const uint8_t *data, uint32_t length,
                      uint16_t stream, uint16_t flags, uint32_t ppid, uint32_t context)
{
    sctpio_target target = {.association_id = association_id, .auth_key = -1};
    sctpio_outgoing message = {
        .length = length, .ppid = ppid, .context = context, .stream = stream, .flags = flags};
    return sctpio_send(fd, &target, &message, data);
}
