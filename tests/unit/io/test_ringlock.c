/* SPDX-License-Identifier: Apache-2.0
 * A ring that is open does what we use and nothing else: the kernel refuses other operations,
 * registrations and flags. */
#include "bb/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../../src/io/ring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct bb_ring *ring;

static int open_ring(void **state)
{
    (void)state;
    const struct bb_ring_config config = {.entries = 16};
    const char *reason = NULL;
    return bb_ring_open(&config, &ring, &reason);
}

static int close_ring(void **state)
{
    (void)state;
    bb_ring_close(ring);
    return 0;
}

/* Result of one entry as it stands, with the ring's own wake read left in place. */
static int result_of(const struct io_uring_sqe *entry)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    assert_non_null(sqe);
    *sqe = *entry;
    sqe->user_data = 4711;
    /* a refused entry ends the submission with its error in a completion */
    (void)io_uring_submit_and_wait(&ring->uring, 1);
    struct io_uring_cqe *cqe;
    assert_int_equal(io_uring_wait_cqe(&ring->uring, &cqe), 0);
    assert_int_equal(cqe->user_data, 4711);
    int result = cqe->res;
    io_uring_cqe_seen(&ring->uring, cqe);
    return result;
}

static void what_we_use_is_allowed(void **state)
{
    (void)state;
    char byte;
    struct io_uring_sqe sqe;
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(bb_ring_get_stats(ring)->restricted);
    io_uring_prep_read(&sqe, fd, &byte, 1, 0);
    assert_int_equal(result_of(&sqe), 1);
    assert_int_equal(close(fd), 0);
}

static void other_operations_are_refused(void **state)
{
    (void)state;
    struct io_uring_sqe sqe;
    io_uring_prep_nop(&sqe);
    assert_int_equal(result_of(&sqe), -EACCES);
    io_uring_prep_openat(&sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    assert_int_equal(result_of(&sqe), -EACCES);
    io_uring_prep_unlinkat(&sqe, AT_FDCWD, "/nonexistent", 0);
    assert_int_equal(result_of(&sqe), -EACCES);
    io_uring_prep_socket(&sqe, AF_INET, SOCK_STREAM, 0, 0);
    assert_int_equal(result_of(&sqe), -EACCES);
}

static void other_flags_are_refused(void **state)
{
    (void)state;
    char byte;
    struct io_uring_sqe sqe;
    io_uring_prep_read(&sqe, 0, &byte, 1, 0);
    sqe.flags = IOSQE_ASYNC;
    assert_int_equal(result_of(&sqe), -EACCES);
}

static void nothing_more_can_be_registered(void **state)
{
    (void)state;
    int fd = 0;
    long result =
        syscall(__NR_io_uring_register, ring->uring.ring_fd, IORING_REGISTER_EVENTFD, &fd, 1);
    assert_int_equal(result, -1);
    assert_int_equal(errno, EACCES);
    result = syscall(__NR_io_uring_register, ring->uring.ring_fd, IORING_REGISTER_FILES, &fd, 1);
    assert_int_equal(result, -1);
    assert_int_equal(errno, EACCES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_we_use_is_allowed, open_ring, close_ring),
        cmocka_unit_test_setup_teardown(other_operations_are_refused, open_ring, close_ring),
        cmocka_unit_test_setup_teardown(other_flags_are_refused, open_ring, close_ring),
        cmocka_unit_test_setup_teardown(nothing_more_can_be_registered, open_ring, close_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
