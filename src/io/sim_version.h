/* SPDX-License-Identifier: Apache-2.0
 * What one write put on its way to the medium, copied at submit and shared with clones. Private to
 * the simulator. Never changes; how much of it arrived, and when, is kept by who holds it.
 */
#ifndef BB_SIM_VERSION_H
#define BB_SIM_VERSION_H

#include "bb/sim.h"
#include "sim_image.h"

#define BB_VERSION_SECTOR 512u /* never torn */

struct bb_version {
    uint32_t references;
    enum bb_io_class class;
    uint64_t offset;
    uint64_t number;
    uint32_t unit_count;
    struct bb_image_unit *units[];
};

struct bb_version *bb_version_make(const struct bb_io_request *request, uint64_t number);
/* Of a discard: each unit is zero or garbage, by `random`. */
struct bb_version *bb_version_discard(const struct bb_io_request *request, uint64_t number,
                                      struct bb_random *random);
void bb_version_share(struct bb_version *version);
/* Accepts NULL. */
void bb_version_drop(struct bb_version *version);

/* Whether the buffer still holds what was copied from it. */
bool bb_version_equals(const struct bb_version *version, const void *buf);

/* Lays what the fate keeps of the first `size` bytes over an image. */
void bb_version_apply(const struct bb_version *version, uint32_t size, struct bb_sim_fate fate,
                      struct bb_image *image);

#endif
