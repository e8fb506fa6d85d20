/* SPDX-License-Identifier: Apache-2.0
 * Getting a ring from the kernel, or the sentence that says why there is none. Runs once per ring,
 * in the thread that will own it (SINGLE_ISSUER binds it).
 */
#include "bb/err.h"
#include "ring_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define COMPLETIONS_PER_ENTRY 4 /* multishot accept posts bursts */
#define ENTRIES_MIN 32u         /* where little memory may be locked */

/* -1 where the kernel has no such switch. */
static int read_disabled_switch(void)
{
    int value = -1;
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (file) {
        if (fscanf(file, "%d", &value) != 1)
            value = -1;
        fclose(file);
    }
    return value;
}

static const char *reason_of(int error)
{
    switch (error) {
    case -EPERM:
    case -EACCES:
        switch (read_disabled_switch()) {
        case 2:
            return "io_uring is switched off on this machine; allow it with "
                   "`sysctl kernel.io_uring_disabled=0`";
        case 1:
            return "io_uring is switched off for unprivileged users; put the user into the group "
                   "of "
                   "kernel.io_uring_group or set `sysctl kernel.io_uring_disabled=0`";
        default:
            return "io_uring is forbidden by a seccomp or container policy; allow io_uring_setup, "
                   "io_uring_enter and io_uring_register in it";
        }
    case -ENOSYS:
        return "the kernel is built without io_uring, or a seccomp or container policy hides it; "
               "allow io_uring_setup, io_uring_enter and io_uring_register";
    case -ENOMEM:
        return "not enough memory may be locked for io_uring; raise LimitMEMLOCK in the unit or "
               "`ulimit -l`";
    case -EMFILE:
    case -ENFILE:
        return "too many open files for io_uring; raise LimitNOFILE in the unit or `ulimit -n`";
    default:
        return "the kernel refuses to set up io_uring; Linux 6.1 or newer is needed";
    }
}

static bool kernel_is_too_old(void)
{
    struct utsname name;
    unsigned version, minor;
    if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &version, &minor) != 2)
        return false; /* unknown: let the kernel itself refuse */
    return version < 6 || (version == 6 && minor < 1);
}

static int try_flags(struct bb_ring *ring, unsigned entries)
{
    /* From the best to the least; a kernel or a sandbox that refuses one set gets the next. */
    static const unsigned sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SUBMIT_ALL,
        0,
    };
    int error = -EINVAL;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]) && error == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = sets[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED,
            .cq_entries = entries * COMPLETIONS_PER_ENTRY,
        };
        error = io_uring_queue_init_params(entries, &ring->uring, &params);
        ring->stats.defer_taskrun = (sets[i] & IORING_SETUP_DEFER_TASKRUN) != 0;
        ring->ready_size = params.cq_entries;
    }
    return error;
}

int bb_ring_set_up(struct bb_ring *ring, const struct bb_ring_config *config,
                   const char **ret_reason)
{
    if (kernel_is_too_old()) {
        *ret_reason = "the kernel is older than Linux 6.1; boot a newer one";
        return BB_ERR_KERNEL;
    }
    /* Newer kernels count the ring itself as locked memory. A full ring only submits more often and
     * the kernel keeps completions that find no room, so a small one will do. */
    unsigned entries = config->entries;
    int error = try_flags(ring, entries);
    while (error == -ENOMEM && entries > ENTRIES_MIN) {
        entries /= 2;
        error = try_flags(ring, entries);
    }
    if (error != 0) {
        *ret_reason = reason_of(error);
        return BB_ERR_KERNEL;
    }
    /* Both only save time; without them everything works. Kernel threads serve flushes and what the
     * device queue did not take at once: few are enough, and many would fight for its cores. */
    (void)io_uring_register_ring_fd(&ring->uring);
    unsigned workers[2] = {2, 4};
    (void)io_uring_register_iowq_max_workers(&ring->uring, workers);
    return 0;
}

/* liburing 2.3 declares functions for these two and forgets to export them. */
static int register_directly(const struct bb_ring *ring, unsigned operation, const void *what,
                             unsigned count)
{
    long result = syscall(__NR_io_uring_register, ring->uring.ring_fd, operation, what, count);
    return result < 0 ? -errno : 0;
}

int bb_ring_enable(struct bb_ring *ring)
{
    static const uint8_t operations[] = {
        IORING_OP_READ,        IORING_OP_WRITE,  IORING_OP_READ_FIXED,
        IORING_OP_WRITE_FIXED, IORING_OP_FSYNC,  IORING_OP_RECV,
        IORING_OP_SENDMSG,     IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL,
    };
    /* what closing does; everything else was registered before */
    static const uint8_t registrations[] = {IORING_UNREGISTER_FILES, IORING_UNREGISTER_BUFFERS,
                                            IORING_UNREGISTER_RING_FDS};
    struct io_uring_restriction list[sizeof(operations) + sizeof(registrations) + 1];
    unsigned count = 0;
    memset(list, 0, sizeof(list));
    for (size_t i = 0; i < sizeof(operations); i++) {
        list[count].opcode = IORING_RESTRICTION_SQE_OP;
        list[count++].sqe_op = operations[i];
    }
    for (size_t i = 0; i < sizeof(registrations); i++) {
        list[count].opcode = IORING_RESTRICTION_REGISTER_OP;
        list[count++].register_op = registrations[i];
    }
    list[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    list[count++].sqe_flags = IOSQE_FIXED_FILE;
    ring->stats.restricted =
        register_directly(ring, IORING_REGISTER_RESTRICTIONS, list, count) == 0;
    return register_directly(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
