/* SPDX-License-Identifier: Apache-2.0
 * bbformat cut at every write and flush: what it asks of libc for the two files is written down,
 * and from every prefix of that the images are made that a power cut may leave: what was flushed,
 * and of the rest nothing, all, all but one, the last, or any part. Each is "not formatted" or a
 * whole store.
 *
 * The program defines the functions of libc, so that LMDB's calls are seen, too. One thread.
 */
#include "devices.h"

#include "bb/pair.h"
#include "bb/random.h"
#include "bb/superblock.h"
#include "bb/syncio.h"
#include "seen.h"

#include <dlfcn.h>
#include <sys/uio.h>

#define DATA_SIZE (24 * BB_MIB)
#define INDEX_SIZE (8 * BB_MIB)
#define EVENTS_MAX 4096u
#define CHOICES 6u

enum event_kind { EVENT_WRITE, EVENT_ZERO, EVENT_FLUSH };

struct event {
    enum event_kind kind;
    unsigned file; /* 0 data, 1 index */
    uint64_t offset, size;
    uint8_t *bytes;
};

static struct tape {
    bool runs;
    ino_t inodes[2];
    struct event events[EVENTS_MAX];
    size_t count;
} tape;

/* ---- what is written down ---- */

#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (next == NULL) {                                                                            \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        BB_ASSERT(found != NULL);                                                                  \
        memcpy(&next, &found, sizeof(next));                                                       \
    }

static int file_of(int fd)
{
    struct stat status;
    if (!tape.runs || fstat(fd, &status) != 0)
        return -1;
    return status.st_ino == tape.inodes[0] ? 0 : status.st_ino == tape.inodes[1] ? 1 : -1;
}

static void note(int fd, enum event_kind kind, const void *bytes, uint64_t size, off_t offset)
{
    int file = file_of(fd);
    if (file < 0)
        return;
    BB_ASSERT(tape.count < EVENTS_MAX);
    struct event *event = &tape.events[tape.count++];
    *event = (struct event){
        .kind = kind, .file = (unsigned)file, .offset = (uint64_t)offset, .size = size};
    if (kind == EVENT_WRITE) {
        event->bytes = malloc(size);
        BB_ASSERT(event->bytes != NULL);
        memcpy(event->bytes, bytes, size);
    }
}

ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
    NEXT(pwrite)
    note(fd, EVENT_WRITE, buf, size, offset);
    return next(fd, buf, size, offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    NEXT(writev)
    off_t offset = lseek(fd, 0, SEEK_CUR);
    for (int i = 0; i < count; i++) {
        note(fd, EVENT_WRITE, pieces[i].iov_base, pieces[i].iov_len, offset);
        offset += (off_t)pieces[i].iov_len;
    }
    return next(fd, pieces, count);
}

ssize_t write(int fd, const void *buf, size_t size)
{
    NEXT(write)
    BB_ASSERT(file_of(fd) < 0);
    return next(fd, buf, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    NEXT(fallocate)
    int result = next(fd, mode, offset, size);
    if (result == 0)
        note(fd, EVENT_ZERO, NULL, (uint64_t)size, offset);
    return result;
}

int fdatasync(int fd)
{
    NEXT(fdatasync)
    note(fd, EVENT_FLUSH, NULL, 0, 0);
    return next(fd);
}

int fsync(int fd)
{
    NEXT(fsync)
    note(fd, EVENT_FLUSH, NULL, 0, 0);
    return next(fd);
}

/* ---- images ---- */

struct images {
    const struct devices *devices;
    uint8_t *before[2], *image[2];
    uint64_t sizes[2];
    struct seen seen;
    bool was_store; /* another one stood there */
    size_t cuts, judged, blank, old, whole;
};

static uint8_t *read_file(const char *path, uint64_t size)
{
    uint8_t *bytes = malloc(size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && bytes != NULL);
    for (uint64_t done = 0; done < size;) {
        ssize_t got = pread(fd, bytes + done, size - done, (off_t)done);
        assert_true(got > 0);
        done += (uint64_t)got;
    }
    close(fd);
    return bytes;
}

static bool keeps(unsigned choice, size_t index, size_t count, size_t victim,
                  struct bb_random *random)
{
    switch (choice) {
    case 0:
        return false;
    case 1:
        return true;
    case 2:
        return index == count - 1;
    case 3:
        return index != victim;
    default:
        return bb_random_below(random, 2) == 0;
    }
}

static void apply(struct images *images, const struct event *event)
{
    uint8_t *at = images->image[event->file] + event->offset;
    BB_ASSERT(event->offset + event->size <= images->sizes[event->file]);
    if (event->kind == EVENT_WRITE)
        memcpy(at, event->bytes, event->size);
    else
        memset(at, 0, event->size);
}

/* What a cut behind the first `count` events leaves; number of those that were not flushed. */
static size_t make_image(struct images *images, size_t count, unsigned choice,
                         struct bb_random *random)
{
    size_t flushed[2] = {0, 0}, open = 0, index = 0; /* flushed: events before are durable */
    for (unsigned i = 0; i < 2; i++)
        memcpy(images->image[i], images->before[i], images->sizes[i]);
    for (size_t i = 0; i < count; i++)
        if (tape.events[i].kind == EVENT_FLUSH)
            flushed[tape.events[i].file] = i;
    for (size_t i = 0; i < count; i++)
        open += tape.events[i].kind != EVENT_FLUSH && i >= flushed[tape.events[i].file];
    size_t victim = open > 0 ? bb_random_below(random, open) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &tape.events[i];
        if (event->kind == EVENT_FLUSH)
            continue;
        if (i < flushed[event->file] || keeps(choice, index++, open, victim, random))
            apply(images, event);
    }
    return open;
}

static uint64_t identity_of(const struct images *images)
{
    uint64_t identity = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct bb_hash hash;
        uint64_t part;
        bb_hash_of(images->image[i], images->sizes[i], &hash);
        memcpy(&part, &hash, sizeof(part));
        identity = seen_mix(identity, part);
    }
    return identity;
}

static void write_image(const struct images *images)
{
    devices_poke(images->devices->data, 0, images->image[0], images->sizes[0]);
    devices_poke(images->devices->index, 0, images->image[1], images->sizes[1]);
}

static int load(const char *path, struct bb_super_copies *copies)
{
    struct bb_device device;
    struct bb_syncio sync;
    assert_int_equal(bb_device_open(path, BB_DEVICE_READ, 0, NULL, &device), 0);
    bb_syncio_init(&sync, &device);
    int error = bb_super_load(&sync.io, copies);
    bb_device_close(&device);
    return error;
}

static void assert_starts(const struct devices *devices)
{
    struct bb_pair pair;
    struct bb_explain explain;
    struct bb_recovered recovered;
    struct bb_pair_options options = {
        .data_path = devices->data, .index_path = devices->index, .memory = BB_RECOVER_SCRATCH_MIN};
    int error = bb_pair_open(&pair, &options, &explain);
    if (error == 0)
        error = bb_pair_open_index(&pair, false, &explain);
    if (error == 0)
        error = bb_recover(&pair.config, &recovered, &explain);
    if (error != 0)
        fail_msg("%s", explain.text);
    assert_int_equal(recovered.report.blocks, 0);
    bb_pair_close(&pair);
}

/* wiped: the first flush of the data device has completed. */
static void judge(struct images *images, bool wiped)
{
    struct bb_super_copies copies;
    if (seen_before(&images->seen, identity_of(images)))
        return;
    images->judged++;
    write_image(images);
    int error = load(images->devices->data, &copies);
    bool is_new = error == 0 && strcmp(copies.super.label, "new") == 0;
    if (is_new) {
        images->whole++;
        assert_starts(images->devices);
        return;
    }
    if (images->was_store && !wiped && (error == 0 || error == BB_ERR_DAMAGED)) {
        images->old++;
        return;
    }
    assert_int_equal(error, BB_ERR_NOT_FORMATTED);
    images->blank++;
}

static void judge_all(struct images *images)
{
    struct bb_random random;
    bool wiped = false;
    bb_random_seed(&random, 11);
    for (size_t count = 0; count <= tape.count; count++) {
        const struct event *last = count > 0 ? &tape.events[count - 1] : NULL;
        wiped = wiped || (last != NULL && last->kind == EVENT_FLUSH && last->file == 0);
        images->cuts++;
        size_t open = SIZE_MAX;
        for (unsigned choice = 0; choice < CHOICES && open > 0; choice++) {
            open = make_image(images, count, choice, &random);
            judge(images, wiped);
        }
    }
}

static void format(const struct devices *devices, const char *label)
{
    struct bb_format_options options = devices_options(devices);
    struct bb_format_result result;
    struct bb_explain explain;
    options.force = true;
    options.label = label;
    if (bb_format_devices(&options, &result, &explain) != 0)
        fail_msg("%s", explain.text);
}

static void cut_everywhere(const struct devices *devices, bool was_store)
{
    struct images images = {
        .devices = devices, .sizes = {DATA_SIZE, INDEX_SIZE}, .was_store = was_store};
    const char *paths[2] = {devices->data, devices->index};
    for (unsigned i = 0; i < 2; i++) {
        struct stat status;
        images.before[i] = read_file(paths[i], images.sizes[i]);
        images.image[i] = malloc(images.sizes[i]);
        assert_int_equal(stat(paths[i], &status), 0);
        tape.inodes[i] = status.st_ino;
    }
    tape.count = 0;
    tape.runs = true;
    format(devices, "new");
    tape.runs = false;
    judge_all(&images);
    print_message("%zu cuts, %zu images: %zu not formatted, %zu as before, %zu whole stores\n",
                  images.cuts, images.judged, images.blank, images.old, images.whole);
    /* four copies in two pairs, ring and index before them */
    assert_true(images.cuts > 12 && images.blank > 8 && images.whole >= 3);
    assert_true((images.old > 0) == was_store);
    for (size_t i = 0; i < tape.count; i++)
        free(tape.events[i].bytes);
    for (unsigned i = 0; i < 2; i++) {
        free(images.before[i]);
        free(images.image[i]);
    }
    seen_free(&images.seen);
}

static void make_files(const struct devices *devices)
{
    devices_make_file(devices->data, DATA_SIZE);
    devices_make_file(devices->index, INDEX_SIZE);
}

static void blank_devices_become_a_whole_store_or_none(void **state)
{
    make_files(*state);
    cut_everywhere(*state, false);
}

static void over_another_store_it_is_that_one_or_none_or_the_new_one(void **state)
{
    make_files(*state);
    format(*state, "old");
    assert_starts(*state); /* of a later generation */
    cut_everywhere(*state, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blank_devices_become_a_whole_store_or_none, devices_setup,
                                        devices_teardown),
        cmocka_unit_test_setup_teardown(over_another_store_it_is_that_one_or_none_or_the_new_one,
                                        devices_setup, devices_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
