/* The walk over control messages: any bytes, at any alignment. */
#include <stddef.h>
#include <stdint.h>

#include "sctpio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t lead = size ? data[0] % 16u : 0;
    sctpio_record record = {0};

    if (lead > size)
        lead = size;
    sctpio_parse_control(data + lead, size - lead, &record);
    return 0;
}
