/* SPDX-License-Identifier: Apache-2.0
 * Rows of the table of findings. Any thread.
 */
#include "bb/findings.h"

#include "bb/assert.h"

const struct bb_finding_info *bb_finding_info(enum bb_finding_kind kind)
{
    static const struct bb_finding_info infos[BB_FINDING_COUNT] = {
#define BB_FINDING_ROW(number, name, json, severity, cure, sentence, repair)                       \
    {number, json, BB_##severity, BB_CURE_##cure, sentence, repair},
        BB_FINDINGS(BB_FINDING_ROW)
#undef BB_FINDING_ROW
    };
    BB_ASSERT(kind < BB_FINDING_COUNT);
    return &infos[kind];
}
