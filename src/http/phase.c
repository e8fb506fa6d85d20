/* SPDX-License-Identifier: Apache-2.0
 * The board on which start-up and shutdown tell all threads how far they are. Nothing here blocks;
 * step, done and total are read one by one, so a reader may see a step with the count of the one
 * before for a moment, which is harmless in a progress line.
 */
#include "bb/phase.h"

#include <inttypes.h>
#include <stdio.h>

void bb_board_init(struct bb_board *board, uint64_t now_ms)
{
    atomic_init(&board->phase, BB_PHASE_RECOVERING);
    atomic_init(&board->step, "starting");
    atomic_init(&board->done, 0);
    atomic_init(&board->total, 0);
    atomic_init(&board->read_only, NULL);
    atomic_init(&board->fatal, false);
    board->started_ms = now_ms;
}

enum bb_phase bb_board_phase(const struct bb_board *board)
{
    return (enum bb_phase)atomic_load_explicit(&board->phase, memory_order_acquire);
}

void bb_board_set_phase(struct bb_board *board, enum bb_phase phase)
{
    BB_ASSERT((int)phase >= atomic_load(&board->phase));
    BB_ASSERT(phase <= BB_PHASE_LEAVING);
    atomic_store_explicit(&board->phase, (int)phase, memory_order_release);
}

void bb_board_progress(struct bb_board *board, const char *step, uint64_t done, uint64_t total)
{
    BB_ASSERT(step != NULL);
    atomic_store_explicit(&board->total, total, memory_order_relaxed);
    atomic_store_explicit(&board->done, done, memory_order_relaxed);
    atomic_store_explicit(&board->step, step, memory_order_release);
}

bool bb_board_allows(const struct bb_board *board, enum bb_need need)
{
    if (atomic_load_explicit(&board->fatal, memory_order_acquire))
        return false;
    enum bb_phase phase = bb_board_phase(board);
    if (need == BB_NEED_WRITE)
        return phase == BB_PHASE_READY && atomic_load(&board->read_only) == NULL;
    return phase >= BB_PHASE_READING && phase <= BB_PHASE_DRAINING;
}

bool bb_board_ready(const struct bb_board *board)
{
    return bb_board_phase(board) == BB_PHASE_READY &&
           !atomic_load_explicit(&board->fatal, memory_order_acquire);
}

static size_t with_progress(const struct bb_board *board, const char *what, char *ret_text)
{
    const char *step = atomic_load_explicit(&board->step, memory_order_acquire);
    uint64_t done = atomic_load_explicit(&board->done, memory_order_relaxed);
    uint64_t total = atomic_load_explicit(&board->total, memory_order_relaxed);
    int len;
    if (total > 0)
        len = snprintf(ret_text, BB_BOARD_TEXT_MAX, "%s: %s %" PRIu64 " of %" PRIu64 "", what, step,
                       done, total);
    else
        len = snprintf(ret_text, BB_BOARD_TEXT_MAX, "%s: %s", what, step);
    BB_ASSERT(len > 0);
    return (size_t)len < BB_BOARD_TEXT_MAX ? (size_t)len : BB_BOARD_TEXT_MAX - 1;
}

static size_t plain(const char *text, char *ret_text)
{
    int len = snprintf(ret_text, BB_BOARD_TEXT_MAX, "%s", text);
    BB_ASSERT(len > 0);
    return (size_t)len < BB_BOARD_TEXT_MAX ? (size_t)len : BB_BOARD_TEXT_MAX - 1;
}

size_t bb_board_text(const struct bb_board *board, char ret_text[static BB_BOARD_TEXT_MAX])
{
    const char *read_only = atomic_load_explicit(&board->read_only, memory_order_acquire);
    if (atomic_load_explicit(&board->fatal, memory_order_acquire))
        return plain("failed: the store stopped after an I/O error, restart it", ret_text);
    switch (bb_board_phase(board)) {
    case BB_PHASE_RECOVERING:
        return with_progress(board, "recovering", ret_text);
    case BB_PHASE_READING:
        if (read_only != NULL)
            return plain(read_only, ret_text);
        return with_progress(board, "reads only", ret_text);
    case BB_PHASE_READY:
        return plain(read_only != NULL ? read_only : "ready", ret_text);
    case BB_PHASE_DRAINING:
    case BB_PHASE_STOPPING:
    case BB_PHASE_LEAVING:
        break;
    }
    return plain("draining: the server is stopping", ret_text);
}

const char *bb_board_word(const struct bb_board *board)
{
    if (atomic_load_explicit(&board->fatal, memory_order_acquire))
        return "failed";
    switch (bb_board_phase(board)) {
    case BB_PHASE_RECOVERING:
        return "recovering";
    case BB_PHASE_READING:
        return atomic_load(&board->read_only) != NULL ? "read-only" : "reading";
    case BB_PHASE_READY:
        return atomic_load(&board->read_only) != NULL ? "read-only" : "ready";
    case BB_PHASE_DRAINING:
    case BB_PHASE_STOPPING:
    case BB_PHASE_LEAVING:
        break;
    }
    return "draining";
}
