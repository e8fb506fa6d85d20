/* SPDX-License-Identifier: Apache-2.0
 * A thread reads the superblock, since a read of a silent device has no end. It ends by itself when
 * the device answers, so that what it uses is static. Owner: the main thread, but for the question,
 * which is the reader's until it is answered.
 */
#include "bbd/geometry.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "bb/assert.h"
#include "bb/buddy.h"
#include "bb/layout.h"
#include "bb/superblock.h"
#include "bb/syncio.h"

#define ANSWER_S 1

struct question {
    struct bb_syncio sync;
    struct bb_super_copies copies;
    int error;
    sem_t answered;
};

static void *read_superblock(void *context)
{
    struct question *question = context;
    question->error = bb_super_load(&question->sync.io, &question->copies);
    (void)sem_post(&question->answered);
    return NULL;
}

/* Whether the answer came in time. */
static bool ask(struct question *question, const struct bb_device *data)
{
    pthread_t reader;
    struct timespec end;
    bb_syncio_init(&question->sync, data);
    if (sem_init(&question->answered, 0, 0) != 0 ||
        pthread_create(&reader, NULL, read_superblock, question) != 0)
        return false;
    int rc = pthread_detach(reader);
    BB_ASSERT(rc == 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ANSWER_S;
    while ((rc = sem_clockwait(&question->answered, CLOCK_MONOTONIC, &end)) != 0 && errno == EINTR)
        continue;
    return rc == 0;
}

size_t bbd_buddy_memory(const struct bb_device *data)
{
    static struct question question;
    struct bb_layout layout;
    bool answered = ask(&question, data);
    uint32_t more = answered ? 0 : BB_SHORT_ZONES_MAX;
    if (answered && question.error == 0)
        layout = question.copies.super.layout;
    else if (bb_layout_make(data->size, bb_layout_journal_size(data->size), BB_ZONE_SIZE_DEFAULT,
                            &layout) != 0)
        return 0;
    return bb_buddy_memory(layout.zone_count + more, bb_layout_zone_units_max(&layout));
}
