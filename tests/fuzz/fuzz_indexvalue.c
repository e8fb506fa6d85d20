/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of what stands in the index: the value of a block and the state row.
 *
 * Input: one byte of flags, then the bytes of the value or row, which may have any length:
 *   ROW   a state row, else the value of a block
 *   SEAL  the digest of the row is made right, if it is as long as a row
 *   the two upper bits: how far the bytes lie from an aligned address
 *
 * What decodes must encode to the same bytes. */
#include "input.h"

#include "bb/err.h"
#include "bb/indexcodec.h"

#define INPUT_MAX 4096
#define DIGEST_OFFSET offsetof(struct bb_disk_index_state, digest)

enum { ROW = 1, SEAL = 2 };

static void value_check(const void *bytes, size_t size)
{
    struct bb_index_entry entry;
    struct bb_disk_index_value again;
    memset(&entry, UNTOUCHED, sizeof(entry));
    int result = bb_index_value_decode(bytes, size, &entry);
    bool good = size == 16 && u64_at(bytes, 0) >> 40 <= 1048576 && u64_at(bytes, 8) <= 1;
    require((result == 0) == good, "a second opinion differs");
    if (result != 0) {
        require(result == BB_ERR_INDEX_DAMAGED, "another error than the contract says");
        require(is_untouched(&entry, sizeof(entry)), "output of a failure");
        return;
    }
    require(size == sizeof(again), "value of another length");
    require(entry.unit < 1ull << BB_INDEX_UNIT_BITS, "unit of more than 40 bits");
    require(entry.size <= BB_BLOCK_SIZE_MAX, "block above 1 MiB");
    require((entry.flags & ~BB_INDEX_CORRUPT) == 0, "unknown flag");
    bb_index_value_encode(&entry, &again);
    require(memcmp(&again, bytes, size) == 0, "encode(decode(x)) != x");
}

static void row_check(const void *bytes, size_t size)
{
    struct bb_index_state state;
    struct bb_disk_index_state again;
    memset(&state, UNTOUCHED, sizeof(state));
    int result = bb_index_state_decode(bytes, size, &state);
    bool good = (size == 280 || size == 152) && memcmp(bytes, "BBINDEX\n", 8) == 0 &&
                u32_at(bytes, 8) == (size == 280 ? 3 : 2) && u32_at(bytes, 12) == 0 &&
                sealed(bytes, size, 136);
    require((result == 0) == good, "a second opinion differs");
    if (result != 0) {
        require(result == BB_ERR_INDEX_DAMAGED || result == BB_ERR_VERSION,
                "another error than the contract says");
        require(is_untouched(&state, sizeof(state)), "output of a failure");
        return;
    }
    if (size == offsetof(struct bb_disk_index_state, scrub))
        return; /* version 2 is read, not written */
    require(size == sizeof(again), "row of another length");
    bb_index_state_encode(&state, &again);
    require(memcmp(&again, bytes, size) == 0, "encode(decode(x)) != x");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_MAX)
        return 0;
    uint8_t flags = data[0];
    size_t shift = flags >> 6;
    size--;
    uint8_t *memory = exact(shift + size + (shift + size == 0 ? 1 : 0));
    uint8_t *bytes = memory + shift;
    if (size > 0)
        memcpy(bytes, data + 1, size);
    if ((flags & ROW) == 0) {
        value_check(bytes, size);
    } else {
        if ((flags & SEAL) != 0 && size >= offsetof(struct bb_disk_index_state, scrub))
            reseal(bytes, size, DIGEST_OFFSET);
        row_check(bytes, size);
    }
    free(memory);
    return 0;
}
