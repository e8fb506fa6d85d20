/* SPDX-License-Identifier: Apache-2.0
 * Discards by all three back ends: in the simulator, on files, which have none, and on a loop
 * device by the ring and by system calls.
 */
#include "loops.h"
#include "rings.h"

#include "bb/sim.h"
#include "bb/syncio.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define UNIT 4096u
#define UNITS 64u

/* ---- sim ---- */

static void fill(struct bb_sim *sim, uint8_t *buf)
{
    memset(buf, 0x77, UNITS * UNIT);
    assert_int_equal(bb_io_write(bb_sim_io(sim), BB_IO_DATA, BB_MIB, buf, UNITS * UNIT), 0);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
}

/* Units that are as written, zero, and something else. */
struct found {
    unsigned old, zero, garbage;
};

static struct found look(struct bb_sim *sim, uint8_t *buf)
{
    struct found found = {0};
    bb_sim_peek(sim, BB_MIB, buf, UNITS * UNIT);
    for (unsigned i = 0; i < UNITS; i++) {
        const uint8_t *unit = buf + (size_t)i * UNIT;
        bool even = memcmp(unit, unit + 1, UNIT - 1) == 0;
        found.old += even && unit[0] == 0x77;
        found.zero += even && unit[0] == 0;
        found.garbage += !even;
    }
    return found;
}

static void what_was_discarded_is_old_zero_or_garbage_and_differs_after_a_cut(void **state)
{
    (void)state;
    uint8_t *buf = aligned_alloc(UNIT, UNITS * UNIT);
    bool kept = false, gone = false, lost = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct bb_sim *sim = bb_sim_open(&(struct bb_sim_config){.size = 4 * BB_MIB, .seed = seed});
        fill(sim, buf);
        assert_int_equal(bb_io_discard(bb_sim_io(sim), BB_IO_DATA, BB_MIB, UNITS * UNIT), 0);
        struct found now = look(sim, buf);
        kept |= now.old == UNITS;
        gone |= now.old == 0 && now.zero > 0 && now.garbage > 0;
        assert_int_equal(bb_sim_undurable_count(sim), 1);
        if (seed % 2 == 0) {
            bb_sim_power_cut(sim, bb_sim_choose_none, NULL);
            assert_int_equal(look(sim, buf).old, UNITS); /* it never reached the medium */
        } else {
            assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
            bb_sim_power_cut(sim, bb_sim_choose_none, NULL);
            lost |= now.old == UNITS && look(sim, buf).old == 0; /* read before, and no more */
        }
        bb_sim_close(sim);
    }
    assert_true(kept);
    assert_true(gone);
    assert_true(lost);
    free(buf);
}

static void what_is_written_behind_a_discard_stays(void **state)
{
    (void)state;
    uint8_t *buf = aligned_alloc(UNIT, UNITS * UNIT);
    struct bb_random random;
    bb_random_seed(&random, 5);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct bb_sim *sim = bb_sim_open(&(struct bb_sim_config){.size = 4 * BB_MIB, .seed = seed});
        assert_int_equal(bb_io_discard(bb_sim_io(sim), BB_IO_DATA, BB_MIB, UNITS * UNIT), 0);
        fill(sim, buf);
        bb_sim_power_cut(sim, bb_sim_choose_random, &random);
        assert_int_equal(look(sim, buf).old, UNITS);
        bb_sim_close(sim);
    }
    free(buf);
}

static void never(struct bb_io_request *request)
{
    (void)request;
    fail();
}

static void write_beside_discard(void *argument)
{
    struct bb_sim *sim = argument;
    struct bb_io_request discard;
    bb_io_prepare(&discard, BB_IO_DISCARD, BB_IO_DATA, BB_MIB, NULL, 4 * UNIT, never);
    bb_io_submit(bb_sim_io(sim), &discard);
    static uint8_t buf[UNIT] __attribute__((aligned(4096)));
    struct bb_io_request write;
    bb_io_prepare(&write, BB_IO_WRITE, BB_IO_DATA, BB_MIB + UNIT, buf, UNIT, never);
    bb_io_submit(bb_sim_io(sim), &write);
}

static void a_write_into_what_is_being_discarded_is_found_out(void **state)
{
    (void)state;
    struct bb_sim *sim = bb_sim_open(&(struct bb_sim_config){.size = 4 * BB_MIB});
    assert_true(unit_aborts(write_beside_discard, sim));
    bb_sim_close(sim);
}

/* ---- devices ---- */

static char path[] = "/var/tmp/bb-discard-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(8 * BB_MIB)), 0);
    close(fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static uint64_t allocated(void)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void open_device(const char *name)
{
    assert_int_equal(bb_device_open(name, BB_DEVICE_EXCLUSIVE, 0, NULL, &world.device), 0);
}

static void files_have_no_discard(void **state)
{
    (void)state;
    struct bb_syncio sync;
    open_device(path);
    assert_int_equal(world.device.discard_max, 0);
    bb_syncio_init(&sync, &world.device);
    assert_int_equal(sync.io.discard_max, 0);
    uint64_t before = allocated();
    assert_int_equal(bb_io_discard(&sync.io, BB_IO_DATA, BB_MIB, BB_MIB), -EOPNOTSUPP);
    assert_int_equal(allocated(), before);
    struct bb_ring *ring = open_ring(&(struct bb_ring_config){
        .entries = 64, .device = &world.device, .device_in_flight_max = 4, .discards = true});
    assert_int_equal(bb_ring_io(ring)->discard_max, 0);
    bb_ring_close(ring);
    bb_device_close(&world.device);
}

/* 1 MiB of the device becomes a hole of the file below, what is around it stays. */
static void discard_one(struct bb_io *io)
{
    if (io->discard_max == 0) {
        print_message("skipped: the filesystem of /var/tmp makes no holes\n");
        skip();
    }
    uint8_t *buf = aligned_alloc(UNIT, 3 * BB_MIB);
    uint8_t *want = malloc(BB_MIB);
    memset(want, 0x55, BB_MIB);
    memset(buf, 0x55, 3 * BB_MIB);
    assert_true(io->discard_max >= BB_MIB);
    assert_true(io->discard_granularity >= UNIT);
    assert_int_equal(bb_io_write(io, BB_IO_DATA, BB_MIB, buf, 3 * BB_MIB), 0);
    assert_int_equal(bb_io_flush(io), 0);
    uint64_t before = allocated();
    for (unsigned i = 0; i < 20; i++) /* again and again */
        assert_int_equal(bb_io_discard(io, BB_IO_DATA, 2 * BB_MIB, BB_MIB), 0);
    assert_true(allocated() <= before - BB_MIB);
    assert_int_equal(bb_io_read(io, BB_IO_DATA, BB_MIB, buf, 3 * BB_MIB), 0);
    assert_memory_equal(buf, want, BB_MIB);
    assert_memory_equal(buf + 2 * BB_MIB, want, BB_MIB);
    assert_int_equal(io->in_flight, 0);
    free(want);
    free(buf);
}

static void a_loop_device_gets_holes_by_system_calls(void **state)
{
    (void)state;
    struct loop loop = attach(path, 0, 0, 512, 0);
    struct bb_syncio sync;
    open_device(loop.path);
    bb_syncio_init(&sync, &world.device);
    discard_one(&sync.io);
    bb_device_close(&world.device);
    detach(&loop);
}

static unsigned reads_done, discards_done;

static void one_read(struct bb_io_request *request)
{
    assert_int_equal(request->result, 0);
    reads_done++;
}

static void one_discard(struct bb_io_request *request)
{
    assert_int_equal(request->result, 0);
    discards_done++;
}

static void a_loop_device_gets_holes_by_the_ring_beside_reads(void **state)
{
    (void)state;
    struct loop loop = attach(path, 0, 0, 4096, 0);
    open_device(loop.path);
    struct bb_ring *ring = open_ring(&(struct bb_ring_config){
        .entries = 64, .device = &world.device, .device_in_flight_max = 4, .discards = true});
    struct bb_io *io = bb_ring_io(ring);
    discard_one(io);
    static uint8_t buf[UNIT] __attribute__((aligned(4096)));
    struct bb_io_request discard, read;
    for (unsigned i = 0; i < 50; i++) {
        bb_io_prepare(&discard, BB_IO_DISCARD, BB_IO_DATA, 4 * BB_MIB, NULL, BB_MIB, one_discard);
        bb_io_submit(io, &discard);
        bb_io_prepare(&read, BB_IO_READ, BB_IO_DATA, BB_MIB, buf, UNIT, one_read);
        bb_io_submit(io, &read);
        while (io->in_flight > 0)
            assert_true(bb_io_poll(io, true) >= 0);
    }
    assert_int_equal(reads_done, 50);
    assert_int_equal(discards_done, 50);
    bb_ring_close(ring);
    bb_device_close(&world.device);
    detach(&loop);
}

static void a_ring_that_was_not_asked_to_has_no_discard(void **state)
{
    (void)state;
    struct loop loop = attach(path, 0, 0, 512, 0);
    open_device(loop.path);
    struct bb_ring *ring = open_ring(&(struct bb_ring_config){
        .entries = 64, .device = &world.device, .device_in_flight_max = 4});
    assert_int_equal(bb_ring_io(ring)->discard_max, 0);
    bb_ring_close(ring);
    bb_device_close(&world.device);
    detach(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_discarded_is_old_zero_or_garbage_and_differs_after_a_cut),
        cmocka_unit_test(what_is_written_behind_a_discard_stays),
        cmocka_unit_test(a_write_into_what_is_being_discarded_is_found_out),
        cmocka_unit_test_setup_teardown(files_have_no_discard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_loop_device_gets_holes_by_system_calls, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_loop_device_gets_holes_by_the_ring_beside_reads, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_ring_that_was_not_asked_to_has_no_discard, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
