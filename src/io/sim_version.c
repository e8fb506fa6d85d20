/* SPDX-License-Identifier: Apache-2.0
 * Bytes of one write on the simulated device (sim_version.h). Owner: the simulator's thread.
 */
#include "sim_version.h"

#include <stdlib.h>
#include <string.h>

static struct bb_version *version_of(const struct bb_io_request *request, uint64_t number)
{
    uint32_t count = request->size / BB_IMAGE_UNIT_SIZE;
    struct bb_version *version = malloc(sizeof(*version) + count * sizeof(version->units[0]));
    BB_ASSERT(version != NULL);
    *version = (struct bb_version){.references = 1,
                                   .class = request->class,
                                   .offset = request->offset,
                                   .number = number,
                                   .unit_count = count};
    return version;
}

struct bb_version *bb_version_make(const struct bb_io_request *request, uint64_t number)
{
    struct bb_version *version = version_of(request, number);
    const uint8_t *bytes = request->buf;
    for (uint32_t i = 0; i < version->unit_count; i++)
        version->units[i] = bb_image_unit_make(bytes + (size_t)i * BB_IMAGE_UNIT_SIZE);
    return version;
}

/* All garbage of one discard is the same unit: large discards cost little. */
struct bb_version *bb_version_discard(const struct bb_io_request *request, uint64_t number,
                                      struct bb_random *random)
{
    struct bb_version *version = version_of(request, number);
    uint8_t bytes[BB_IMAGE_UNIT_SIZE];
    bb_random_fill(random, bytes, sizeof(bytes));
    struct bb_image_unit *garbage = bb_image_unit_make(bytes);
    for (uint32_t i = 0; i < version->unit_count; i++)
        version->units[i] = bb_random_below(random, 2) == 0 ? NULL : bb_image_unit_share(garbage);
    bb_image_unit_drop(garbage);
    return version;
}

void bb_version_share(struct bb_version *version)
{
    BB_ASSERT(version->references > 0);
    BB_ASSERT(version->references < UINT32_MAX);
    version->references++;
}

void bb_version_drop(struct bb_version *version)
{
    if (!version)
        return;
    BB_ASSERT(version->references > 0);
    if (--version->references > 0)
        return;
    for (uint32_t i = 0; i < version->unit_count; i++)
        bb_image_unit_drop(version->units[i]);
    free(version);
}

bool bb_version_equals(const struct bb_version *version, const void *buf)
{
    static const uint8_t zero[BB_IMAGE_UNIT_SIZE];
    const uint8_t *bytes = buf;
    for (uint32_t i = 0; i < version->unit_count; i++) {
        const void *unit = version->units[i] ? version->units[i]->bytes : zero;
        if (memcmp(unit, bytes + (size_t)i * BB_IMAGE_UNIT_SIZE, BB_IMAGE_UNIT_SIZE) != 0)
            return false;
    }
    return true;
}

static bool fate_keeps(struct bb_sim_fate fate, uint32_t sector, uint32_t sector_count)
{
    switch (fate.part) {
    case BB_SIM_ABSENT:
        return false;
    case BB_SIM_COMPLETE:
        return true;
    case BB_SIM_PREFIX:
        return sector < fate.sectors;
    case BB_SIM_SUFFIX:
        return sector + fate.sectors >= sector_count;
    case BB_SIM_ALTERNATE:
        break;
    }
    BB_ASSERT(fate.part == BB_SIM_ALTERNATE);
    return sector % 2 == fate.sectors % 2;
}

/* Whole units are shared, not copied. */
void bb_version_apply(const struct bb_version *version, uint32_t size, struct bb_sim_fate fate,
                      struct bb_image *image)
{
    const uint32_t unit_sectors = BB_IMAGE_UNIT_SIZE / BB_VERSION_SECTOR;
    uint32_t sector_count = size / BB_VERSION_SECTOR;
    BB_ASSERT(sector_count <= version->unit_count * unit_sectors);
    for (uint32_t i = 0; i < version->unit_count; i++) {
        uint32_t kept = 0;
        for (uint32_t s = 0; s < unit_sectors; s++) {
            uint32_t sector = i * unit_sectors + s;
            if (sector < sector_count && fate_keeps(fate, sector, sector_count))
                kept |= 1u << s;
        }
        struct bb_image_unit *unit = version->units[i];
        uint64_t offset = version->offset + (uint64_t)i * BB_IMAGE_UNIT_SIZE;
        if (kept == (1u << unit_sectors) - 1) {
            bb_image_set(image, offset / BB_IMAGE_UNIT_SIZE, bb_image_unit_share(unit));
        } else if (kept != 0) {
            uint8_t merged[BB_IMAGE_UNIT_SIZE];
            bb_image_read(image, offset, merged, sizeof(merged));
            for (uint32_t s = 0; s < unit_sectors; s++)
                if (!(kept & 1u << s))
                    continue;
                else if (unit)
                    memcpy(merged + s * BB_VERSION_SECTOR, unit->bytes + s * BB_VERSION_SECTOR,
                           BB_VERSION_SECTOR);
                else
                    memset(merged + s * BB_VERSION_SECTOR, 0, BB_VERSION_SECTOR);
            bb_image_write(image, offset, merged, sizeof(merged));
        }
    }
}
