/* SPDX-License-Identifier: Apache-2.0
 * Assertions that stay on in release builds.
 *
 * BB_ASSERT is for our own invariants: a false condition is a bug in this program, and stopping is
 * the only way not to damage data. Bytes from a disk or a network are never asserted on; they are
 * checked and lead to an error (see err.h).
 */
#ifndef BB_ASSERT_H
#define BB_ASSERT_H

/* Writes file, line and condition to stderr and aborts. Any thread. */
_Noreturn void bb_panic(const char *file, int line, const char *condition);

#define BB_ASSERT(condition)                                                                       \
    (__builtin_expect(!!(condition), 1) ? (void)0 : bb_panic(__FILE__, __LINE__, #condition))

#define BB_STATIC_ASSERT(condition) _Static_assert(condition, #condition)

/* Result of a function that must not be dropped silently. */
#define BB_MUST_USE __attribute__((warn_unused_result))

/* The object of type `type` whose member `member` is at `pointer`. */
#define BB_CONTAINER(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

#endif
