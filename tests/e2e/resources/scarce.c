/* SPDX-License-Identifier: Apache-2.0
 * Preloaded into bbd by the tests beside it: makes the k-th call that takes something from the
 * machine fail, and counts what is allocated by the program itself.
 *
 *   SCARCE_BOARD=FILE  struct board, shared with the test; the file is large enough for it
 *   SCARCE_FAIL=K      number of the call that fails, from 1; 0 or unset: none
 *   SCARCE_SKIP=NAME   allocations by the first shared object with that in its name have no number
 *
 * Calls are numbered over all kinds and threads. liburing makes its system calls itself, so its
 * functions stand for them here. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CALLERS_MAX 8

/* Read by the test: eight-byte words in this order. */
struct board {
    _Atomic uint64_t calls;              /* all that were numbered */
    _Atomic uint64_t calls_before_write; /* when something was first written at an offset, plus 1 */
    _Atomic uint64_t own;                /* allocations asked for by the program's own code */
    _Atomic uint64_t failed;             /* calls that were made to fail */
    _Atomic uint64_t callers[CALLERS_MAX]; /* of the first of `own`: offset in the program */
    char name[32];                         /* of what failed */
};

static struct board nowhere;
static struct board *board = &nowhere;
static uint64_t fail_at;
static struct code {
    const char *name;
    uintptr_t base, begin, end;
} program, skipped;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* True when this call is to fail. */
static bool refuse(const char *name)
{
    if (atomic_fetch_add(&board->calls, 1) + 1 != fail_at)
        return false;
    atomic_fetch_add(&board->failed, 1);
    (void)strncpy(board->name, name, sizeof(board->name) - 1);
    return true;
}

static bool is_in(const struct code *code, const void *address)
{
    return (uintptr_t)address >= code->begin && (uintptr_t)address < code->end;
}

/* Finds the code of an object whose name contains code->name; the program itself comes first. */
static int find_code(struct dl_phdr_info *info, size_t size, void *context)
{
    struct code *code = context;
    (void)size;
    if (strstr(info->dlpi_name, code->name) == NULL)
        return 0;
    code->base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0)
            continue;
        code->begin = info->dlpi_addr + part->p_vaddr;
        code->end = code->begin + part->p_memsz;
    }
    return 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SCARCE_BOARD");
    const char *fail = getenv("SCARCE_FAIL");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED)
        return;
    program.name = "";
    (void)dl_iterate_phdr(find_code, &program);
    skipped.name = getenv("SCARCE_SKIP");
    if (skipped.name != NULL)
        (void)dl_iterate_phdr(find_code, &skipped);
    board = map;
    fail_at = fail != NULL ? strtoull(fail, NULL, 10) : 0;
}

/* ---- allocations ---- */

/* An allocation asked for by the code at `from`. True when it is to fail. */
static bool refuse_memory(const char *name, const void *from)
{
    if (is_in(&program, from)) {
        uint64_t number = atomic_fetch_add(&board->own, 1);
        if (number < CALLERS_MAX)
            atomic_store(&board->callers[number], (uintptr_t)from - program.base);
    }
    if (is_in(&skipped, from) || !refuse(name))
        return false;
    errno = ENOMEM;
    return true;
}

#define REFUSE_MEMORY(name, value)                                                                 \
    do {                                                                                           \
        if (refuse_memory(name, __builtin_return_address(0)))                                      \
            return value;                                                                          \
    } while (0)

void *malloc(size_t size)
{
    REFUSE_MEMORY("malloc", NULL);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    REFUSE_MEMORY("calloc", NULL);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    REFUSE_MEMORY("realloc", NULL);
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    REFUSE_MEMORY("aligned_alloc", NULL);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    REFUSE_MEMORY("posix_memalign", ENOMEM);
    void *memory = __libc_memalign(alignment, size);
    if (memory == NULL)
        return ENOMEM;
    *ret_memory = memory;
    return 0;
}

/* ---- everything else that can be refused ---- */

/* The function that a wrapper stands before. */
#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

#define REFUSE_WITH(name, error, value)                                                            \
    do {                                                                                           \
        if (refuse(name)) {                                                                        \
            errno = (error);                                                                       \
            return value;                                                                          \
        }                                                                                          \
    } while (0)

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    REFUSE_WITH("mmap", ENOMEM, MAP_FAILED);
    return NEXT(mmap)(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    REFUSE_WITH("mmap", ENOMEM, MAP_FAILED);
    return NEXT(mmap64)(at, size, protection, flags, fd, offset);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define OPEN_WRAPPER(name)                                                                         \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        REFUSE_WITH("open", EMFILE, -1);                                                           \
        return NEXT(name)(path, flags, mode);                                                      \
    }
OPEN_WRAPPER(open)
OPEN_WRAPPER(open64)

#define OPENAT_WRAPPER(name)                                                                       \
    int name(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        REFUSE_WITH("openat", EMFILE, -1);                                                         \
        return NEXT(name)(folder, path, flags, mode);                                              \
    }
OPENAT_WRAPPER(openat)
OPENAT_WRAPPER(openat64)

FILE *fopen(const char *path, const char *mode)
{
    REFUSE_WITH("fopen", EMFILE, NULL);
    return NEXT(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    REFUSE_WITH("fopen", EMFILE, NULL);
    return NEXT(fopen64)(path, mode);
}

int socket(int domain, int type, int protocol)
{
    REFUSE_WITH("socket", EMFILE, -1);
    return NEXT(socket)(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
    REFUSE_WITH("bind", EADDRINUSE, -1);
    return NEXT(bind)(fd, address, len);
}

int listen(int fd, int backlog)
{
    REFUSE_WITH("listen", EADDRINUSE, -1);
    return NEXT(listen)(fd, backlog);
}

int eventfd(unsigned value, int flags)
{
    REFUSE_WITH("eventfd", EMFILE, -1);
    return NEXT(eventfd)(value, flags);
}

int signalfd(int fd, const sigset_t *set, int flags)
{
    REFUSE_WITH("signalfd", EMFILE, -1);
    return NEXT(signalfd)(fd, set, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    if (refuse("pthread_create"))
        return EAGAIN;
    return NEXT(pthread_create)(thread, attributes, run, argument);
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params)
{
    if (refuse("io_uring_setup"))
        return -ENOMEM;
    return NEXT(io_uring_queue_init_params)(entries, ring, params);
}

int io_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count)
{
    if (refuse("io_uring_register"))
        return -ENOMEM;
    return NEXT(io_uring_register_buffers)(ring, buffers, count);
}

int io_uring_register_files(struct io_uring *ring, const int *files, unsigned count)
{
    if (refuse("io_uring_register"))
        return -EMFILE;
    return NEXT(io_uring_register_files)(ring, files, count);
}

int io_uring_register_ring_fd(struct io_uring *ring)
{
    if (refuse("io_uring_register"))
        return -ENOMEM;
    return NEXT(io_uring_register_ring_fd)(ring);
}

/* ---- writes ---- */

static void note_write(void)
{
    uint64_t nothing = 0;
    (void)atomic_compare_exchange_strong(&board->calls_before_write, &nothing,
                                         atomic_load(&board->calls) + 1);
}

ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
    note_write();
    return NEXT(pwrite)(fd, buf, size, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t size, off64_t offset)
{
    note_write();
    return NEXT(pwrite64)(fd, buf, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    note_write();
    return NEXT(pwritev)(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    note_write();
    return NEXT(pwritev64)(fd, parts, count, offset);
}
