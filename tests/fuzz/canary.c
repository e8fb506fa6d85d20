/* SPDX-License-Identifier: Apache-2.0
 * The canary of the fuzz targets: a codec of the shape that the real ones have, behind a magic, a
 * version and a digest, with one bound forgotten. tests/fuzz/run fails unless the fuzzer finds it,
 * from an empty corpus and within the time that the targets get. */
#include "input.h"

#define MAGIC "CANARY!\n"
#define SLOT_COUNT 16

struct canary {
    uint8_t magic[8];
    uint8_t version;
    uint8_t slot;
    uint8_t slots[SLOT_COUNT];
    struct bb_digest digest;
};

static int canary_decode(const struct canary *canary)
{
    struct bb_digest digest;
    if (memcmp(canary->magic, MAGIC, sizeof(canary->magic)) != 0 || canary->version != 1)
        return -1;
    bb_digest_of_unit(canary, sizeof(*canary), offsetof(struct canary, digest), &digest);
    if (!bb_digest_equal(&digest, &canary->digest))
        return -1;
    const uint8_t *slots = canary->slots;
    return slots[canary->slot]; /* planted: slot < SLOT_COUNT is not asked */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct canary *canary = exact(sizeof(*canary));
    input_take(&input, canary, sizeof(*canary));
    reseal(canary, sizeof(*canary), offsetof(struct canary, digest));
    volatile int sink = canary_decode(canary);
    (void)sink;
    free(canary);
    return 0;
}
