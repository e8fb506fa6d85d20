/* SPDX-License-Identifier: Apache-2.0
 * The data device through the ring, on a temporary file: buffers, the cap, pieces.
 */
#include "rings.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define UNIT 4096u
#define FILE_SIZE (64 * BB_MIB)
#define ARENA_SIZE (8 * BB_MIB)

static struct bb_ring_config config_of(unsigned cap)
{
    return (struct bb_ring_config){.entries = 64,
                                   .device = &world.device,
                                   .device_in_flight_max = cap,
                                   .arena = world.arena,
                                   .arena_size = ARENA_SIZE};
}

/* ---- The data device ---- */

static int set_up_device(void **state)
{
    (void)state;
    char path[] = "/var/tmp/bb-ring-XXXXXX";
    world = (struct world){0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)FILE_SIZE), 0);
    close(fd);
    assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, &world.device), 0);
    unlink(path);
    world.arena =
        mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(world.arena, MAP_FAILED);
    return 0;
}

static int tear_down_device(void **state)
{
    (void)state;
    bb_device_close(&world.device);
    munmap(world.arena, ARENA_SIZE);
    return 0;
}

static void round_trip(const struct bb_ring_config *config, uint8_t *buf)
{
    struct bb_ring *ring = open_ring(config);
    struct bb_io *io = bb_ring_io(ring);
    assert_int_equal(io->device_size, FILE_SIZE);
    struct bb_random random;
    const uint32_t sizes[] = {UNIT, 3 * UNIT, 260 * 1024, BB_MIB};
    uint8_t *want = malloc(BB_MIB);
    bb_random_seed(&random, 7);
    for (size_t i = 0; i < 4; i++) {
        uint64_t offset = i * 2 * BB_MIB + UNIT;
        bb_random_fill(&random, want, sizes[i]);
        memcpy(buf, want, sizes[i]);
        assert_int_equal(bb_io_write(io, BB_IO_DATA, offset, buf, sizes[i]), 0);
        assert_int_equal(bb_io_flush(io), 0);
        memset(buf, 0, sizes[i]);
        assert_int_equal(bb_io_read(io, BB_IO_DATA, offset, buf, sizes[i]), 0);
        assert_memory_equal(buf, want, sizes[i]);
        memset(buf, 0, sizes[i]); /* and it is on the device, not in some buffer of ours */
        assert_int_equal(bb_device_read(&world.device, offset, buf, sizes[i]), 0);
        assert_memory_equal(buf, want, sizes[i]);
    }
    assert_int_equal(io->in_flight, 0);
    free(want);
    bb_ring_close(ring);
}

static void blocks_come_back_from_registered_and_plain_buffers(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    uint8_t *plain = aligned_alloc(UNIT, BB_MIB);
    round_trip(&config, world.arena + UNIT);
    round_trip(&config, plain);
    config.arena = NULL;
    round_trip(&config, world.arena);
    config = config_of(64);
    config.only_6_1 = true;
    round_trip(&config, world.arena);
    round_trip(&config, plain);
    config = config_of(1); /* a request of four pieces goes out all the same */
    round_trip(&config, world.arena);
    free(plain);
}

static void registration_is_reported(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    assert_true(bb_ring_get_stats(ring)->buffers_registered);
    assert_true(bb_ring_get_stats(ring)->defer_taskrun);
    bb_ring_close(ring);
    config.arena = (void *)(uintptr_t)UNIT; /* nothing is mapped there: refused, and no error */
    ring = open_ring(&config);
    assert_false(bb_ring_get_stats(ring)->buffers_registered);
    bb_ring_close(ring);
    ring = open_ring(&(struct bb_ring_config){.entries = 8});
    assert_null(bb_ring_io(ring));
    bb_ring_close(ring);
}

static struct bb_io_request requests[40];
static unsigned order[40], order_count;

static void note_order(struct bb_io_request *request)
{
    order[order_count++] = (unsigned)(request - requests);
}

static void requests_beyond_the_cap_wait_in_order(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(1);
    struct bb_ring *ring = open_ring(&config);
    struct bb_io *io = bb_ring_io(ring);
    order_count = 0;
    uint64_t before = bb_ring_get_stats(ring)->sqes;
    for (unsigned i = 0; i < 40; i++) {
        bb_io_prepare(&requests[i], BB_IO_WRITE, BB_IO_DATA, i * UNIT, world.arena + i * UNIT, UNIT,
                      note_order);
        bb_io_submit(io, &requests[i]);
    }
    assert_int_equal(bb_ring_get_stats(ring)->sqes - before, 1);
    assert_int_equal(io->in_flight, 40);
    while (io->in_flight > 0)
        assert_true(bb_io_poll(io, true) > 0);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(order[i], i); /* one at a time: no other order is possible */
    bb_ring_close(ring);
}

/* A record and a flush that are found done behind twenty writes of data: they alone in that turn.
 */
static void what_commits_wait_for_is_dispatched_first(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    const unsigned count = 20;
    for (unsigned i = 0; i < count; i++) {
        bb_io_prepare(&requests[i], BB_IO_WRITE, BB_IO_DATA, i * UNIT, world.arena, UNIT,
                      note_order);
        bb_io_submit(bb_ring_io(ring), &requests[i]);
    }
    bb_io_prepare(&requests[count], BB_IO_WRITE, BB_IO_JOURNAL, count * UNIT, world.arena, UNIT,
                  note_order);
    bb_io_submit(bb_ring_io(ring), &requests[count]);
    bb_io_prepare(&requests[count + 1], BB_IO_FLUSH, BB_IO_BARRIER, 0, NULL, 0, note_order);
    bb_io_submit(bb_ring_io(ring), &requests[count + 1]);
    order_count = 0;
    assert_true(io_uring_submit_and_wait(&ring->uring, count + 2) >= 0);
    assert_int_equal(bb_ring_turn(ring, -1, NULL, NULL), 2);
    assert_int_equal(order_count, 2);
    assert_int_equal(order[0] + order[1], count + count + 1);
    assert_int_equal(bb_ring_turn(ring, -1, NULL, NULL), count); /* does not wait for more */
    assert_int_equal(order_count, count + 2);
    bb_ring_close(ring);
}

static void cap_counts_pieces(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(6);
    struct bb_ring *ring = open_ring(&config);
    struct bb_io *io = bb_ring_io(ring);
    world.device.piece_max = 64 * 1024;
    order_count = 0;
    uint64_t before = bb_ring_get_stats(ring)->sqes;
    const uint32_t pieces[] = {4, 3, 1}; /* 4 go out, 3 more do not fit, 1 keeps its place behind */
    for (unsigned i = 0; i < 3; i++) {
        bb_io_prepare(&requests[i], BB_IO_READ, BB_IO_DATA, i * BB_MIB, world.arena + i * BB_MIB,
                      pieces[i] * 64 * 1024, note_order);
        bb_io_submit(io, &requests[i]);
    }
    assert_int_equal(bb_ring_get_stats(ring)->sqes - before, 4);
    while (io->in_flight > 0)
        assert_true(bb_io_poll(io, true) > 0);
    assert_int_equal(bb_ring_get_stats(ring)->sqes - before, 8);
    assert_int_equal(order_count, 3);
    bb_ring_close(ring);
}

static void short_and_failed_pieces_spoil_the_request(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    struct bb_io *io = bb_ring_io(ring);
    world.device.piece_max = 64 * 1024;
    assert_int_equal(ftruncate(world.device.fd, (off_t)BB_MIB), 0); /* shrinks under our feet */
    assert_int_equal(bb_io_read(io, BB_IO_DATA, 0, world.arena, BB_MIB), 0);
    assert_int_equal(bb_io_read(io, BB_IO_DATA, UNIT, world.arena, BB_MIB), BB_ERR_SHORT_IO);
    assert_int_equal(bb_io_read(io, BB_IO_DATA, BB_MIB, world.arena, UNIT), BB_ERR_SHORT_IO);
    bb_ring_close(ring);

    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", world.device.fd);
    int fd = world.device.fd;
    world.device.fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(world.device.fd >= 0);
    ring = open_ring(&config);
    assert_int_equal(bb_io_write(bb_ring_io(ring), BB_IO_DATA, 0, world.arena, BB_MIB), -EBADF);
    bb_ring_close(ring);
    close(world.device.fd);
    world.device.fd = fd;
}

/* Whatever ends a request, its buffer and its place on the device are free for others then. */
static void note_pieces(struct bb_io_request *request)
{
    assert_int_equal(request->pieces_left, 0);
    order_count++;
}

static void a_request_that_fails_ends_with_its_last_piece(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    struct bb_io *io = bb_ring_io(ring);
    world.device.piece_max = 64 * 1024;
    assert_int_equal(ftruncate(world.device.fd, (off_t)BB_MIB), 0);
    order_count = 0;
    for (unsigned i = 0; i < 4; i++) { /* three pieces of each lie behind the end */
        bb_io_prepare(&requests[i], BB_IO_READ, BB_IO_DATA, BB_MIB - (i + 1) * 64 * 1024,
                      world.arena + i * BB_MIB, (i + 4) * 64 * 1024, note_pieces);
        bb_io_submit(io, &requests[i]);
    }
    while (io->in_flight > 0)
        assert_true(bb_io_poll(io, true) > 0);
    assert_int_equal(order_count, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(requests[i].result, BB_ERR_SHORT_IO);
    bb_ring_close(ring);
}

static struct bb_io *chained_io;
static unsigned chained;

static void read_inside(struct bb_io_request *request)
{
    assert_int_equal(request->result, 0);
    assert_int_equal(bb_io_read(chained_io, BB_IO_DATA, 0, world.arena + BB_MIB, UNIT), 0);
    chained++;
}

static void done_function_may_wait_for_another_request(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    chained_io = bb_ring_io(ring);
    chained = 0;
    for (unsigned i = 0; i < 20; i++) {
        bb_io_prepare(&requests[i], BB_IO_WRITE, BB_IO_DATA, (1 + i) * UNIT, world.arena + i * UNIT,
                      UNIT, read_inside);
        bb_io_submit(chained_io, &requests[i]);
    }
    while (chained_io->in_flight > 0)
        assert_true(bb_io_poll(chained_io, true) >= 0);
    assert_int_equal(chained, 20);
    bb_ring_close(ring);
}

static void poll_without_requests_returns_at_once(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    assert_int_equal(bb_io_poll(bb_ring_io(ring), true), 0);
    bb_ring_close(ring);
}

static void closed_device_can_be_opened_at_once(void **state)
{
    (void)state;
    char path[] = "/var/tmp/bb-ring-XXXXXX";
    close(mkstemp(path));
    assert_int_equal(truncate(path, (off_t)BB_MIB), 0);
    for (unsigned i = 0; i < 20; i++) {
        struct bb_device device;
        assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, &device), 0);
        struct bb_ring_config config = config_of(64);
        config.device = &device;
        struct bb_ring *ring = open_ring(&config);
        assert_int_equal(bb_io_write(bb_ring_io(ring), BB_IO_DATA, 0, world.arena, UNIT), 0);
        assert_int_equal(bb_io_flush(bb_ring_io(ring)), 0);
        bb_ring_close(ring);
        bb_device_close(&device);
    }
    unlink(path);
}

#define DEVICE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_device, tear_down_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DEVICE_TEST(blocks_come_back_from_registered_and_plain_buffers),
        DEVICE_TEST(registration_is_reported),
        DEVICE_TEST(requests_beyond_the_cap_wait_in_order),
        DEVICE_TEST(what_commits_wait_for_is_dispatched_first),
        DEVICE_TEST(cap_counts_pieces),
        DEVICE_TEST(short_and_failed_pieces_spoil_the_request),
        DEVICE_TEST(a_request_that_fails_ends_with_its_last_piece),
        DEVICE_TEST(done_function_may_wait_for_another_request),
        DEVICE_TEST(poll_without_requests_returns_at_once),
        DEVICE_TEST(closed_device_can_be_opened_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
