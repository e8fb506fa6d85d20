/* SPDX-License-Identifier: Apache-2.0
 * The file, its images and LMDB on it (lmdbdev.h). Owner: the one thread of the program.
 *
 *   request --> list (on its way) --> file and `visible` --flush--> `durable`
 */
#include "lmdbdev.h"

#include "bb/err.h"
#include "bb/lmdbindex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICE_MAX 4

struct page_write {
    uint64_t page;
    struct bb_image_unit *unit; /* NULL: zero */
};

struct lmdbdev {
    char directory[64], path[80];
    struct bb_device device;
    struct bb_lmdb *lmdb;
    struct bb_index index;
    struct bb_image visible, durable, blank;
    struct page_write *undurable;
    size_t undurable_count, undurable_max;
    size_t on_its_way; /* how many at the end of the list are not visible yet */
    void (*event)(void *context);
    void *context;
    uint64_t events, cut_at;
    bool dead;
    bool loading; /* the file changes by our own hand */
};

static struct lmdbdev *devices[DEVICE_MAX];

static void copy_again(const struct bb_image *from, struct bb_image *to)
{
    bb_image_fini(to);
    bb_image_copy(from, to);
}

/* ---- requests ---- */

struct lmdbdev *lmdbdev_of(int fd)
{
    struct stat st;
    bool any = false;
    for (unsigned i = 0; i < DEVICE_MAX; i++) {
        any |= devices[i] != NULL;
    }
    if (!any || fd <= 2 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return NULL;
    }
    for (unsigned i = 0; i < DEVICE_MAX; i++) {
        if (devices[i] != NULL && devices[i]->device.inode == st.st_ino &&
            devices[i]->device.number == st.st_dev) {
            return devices[i];
        }
    }
    return NULL;
}

static bool happens(struct lmdbdev *dev)
{
    if (dev->dead) {
        return false;
    }
    dev->events++;
    dev->dead = dev->events == dev->cut_at;
    if (!dev->dead && dev->event != NULL) {
        dev->event(dev->context);
    }
    return !dev->dead;
}

static void queue_page(struct lmdbdev *dev, uint64_t page, const uint8_t *bytes)
{
    if (dev->undurable_count == dev->undurable_max) {
        dev->undurable_max = dev->undurable_max == 0 ? 64 : 2 * dev->undurable_max;
        dev->undurable = realloc(dev->undurable, dev->undurable_max * sizeof(dev->undurable[0]));
        BB_ASSERT(dev->undurable != NULL);
    }
    dev->undurable[dev->undurable_count++] =
        (struct page_write){.page = page, .unit = bb_image_unit_make(bytes)};
    dev->on_its_way++;
}

bool lmdbdev_will_write(struct lmdbdev *dev, const void *buf, size_t size, off_t offset)
{
    if (dev->loading) {
        return true;
    }
    if (dev->dead) {
        return false;
    }
    BB_ASSERT(dev->on_its_way == 0);
    const uint8_t *from = buf;
    uint64_t at = (uint64_t)offset, end = at + size;
    while (at < end) {
        static uint8_t page[BB_IMAGE_UNIT_SIZE];
        size_t within = at % BB_IMAGE_UNIT_SIZE;
        size_t part = sizeof(page) - within < end - at ? sizeof(page) - within : end - at;
        bb_image_read(&dev->visible, at - within, page, sizeof(page));
        memcpy(page + within, from, part);
        queue_page(dev, at / BB_IMAGE_UNIT_SIZE, page);
        from += part;
        at += part;
    }
    return happens(dev);
}

static void all_durable(struct lmdbdev *dev)
{
    for (size_t i = 0; i < dev->undurable_count; i++) {
        bb_image_set(&dev->durable, dev->undurable[i].page, dev->undurable[i].unit);
    }
    dev->undurable_count = dev->on_its_way = 0;
}

/* The end of the list has arrived; over a descriptor with O_DSYNC it is durable now. */
void lmdbdev_wrote(struct lmdbdev *dev, int fd)
{
    if (dev->loading) {
        return;
    }
    size_t first = dev->undurable_count - dev->on_its_way;
    bool durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    for (size_t i = first; i < dev->undurable_count; i++) {
        struct page_write *write = &dev->undurable[i];
        bb_image_set(&dev->visible, write->page, bb_image_unit_share(write->unit));
        if (durable) {
            bb_image_set(&dev->durable, write->page, write->unit);
        }
    }
    dev->undurable_count = durable ? first : dev->undurable_count;
    dev->on_its_way = 0;
}

bool lmdbdev_flush(struct lmdbdev *dev)
{
    if (dev->loading) {
        return true;
    }
    if (!happens(dev)) {
        return false;
    }
    all_durable(dev);
    return true;
}

/* ---- power ---- */

void lmdbdev_on_event(struct lmdbdev *dev, void (*event)(void *context), void *context)
{
    dev->event = event;
    dev->context = context;
}

void lmdbdev_cut_at(struct lmdbdev *dev, uint64_t n)
{
    dev->cut_at = n == 0 ? 0 : dev->events + n;
}

bool lmdbdev_is_dead(const struct lmdbdev *dev)
{
    return dev->dead;
}

uint64_t lmdbdev_events(const struct lmdbdev *dev)
{
    return dev->events;
}

size_t lmdbdev_undurable_count(const struct lmdbdev *dev)
{
    return dev->undurable_count;
}

void lmdbdev_power_cut(const struct lmdbdev *dev, lmdbdev_keep_fn *keep, void *context,
                       struct bb_image *ret_image)
{
    bb_image_copy(&dev->durable, ret_image);
    for (size_t i = 0; i < dev->undurable_count; i++) {
        const struct page_write *write = &dev->undurable[i];
        if (keep(context, i)) {
            bb_image_set(ret_image, write->page, bb_image_unit_share(write->unit));
        }
    }
}

void lmdbdev_visible(const struct lmdbdev *dev, struct bb_image *ret_image)
{
    bb_image_copy(&dev->visible, ret_image);
}

static void forget(struct lmdbdev *dev)
{
    for (size_t i = 0; i < dev->undurable_count; i++) {
        bb_image_unit_drop(dev->undurable[i].unit);
    }
    dev->undurable_count = dev->on_its_way = 0;
}

/* Only pages that differ are written. */
void lmdbdev_load(struct lmdbdev *dev, const struct bb_image *image)
{
    static const uint8_t zero[BB_IMAGE_UNIT_SIZE];
    BB_ASSERT(dev->lmdb == NULL);
    dev->loading = true;
    for (uint64_t page = 0; page < LMDBDEV_SIZE / BB_IMAGE_UNIT_SIZE; page++) {
        if (page % BB_IMAGE_NODE_UNITS == 0 && image->nodes[page / BB_IMAGE_NODE_UNITS] ==
                                                   dev->visible.nodes[page / BB_IMAGE_NODE_UNITS]) {
            page += BB_IMAGE_NODE_UNITS - 1;
            continue;
        }
        const struct bb_image_unit *unit = bb_image_get(image, page);
        if (unit != bb_image_get(&dev->visible, page)) {
            ssize_t written = pwrite(dev->device.fd, unit != NULL ? unit->bytes : zero,
                                     sizeof(zero), (off_t)(page * sizeof(zero)));
            BB_ASSERT(written == (ssize_t)sizeof(zero));
        }
    }
    dev->loading = false;
    forget(dev);
    copy_again(image, &dev->visible);
    copy_again(image, &dev->durable);
    dev->dead = false;
    dev->cut_at = 0;
}

/* ---- life ---- */

int lmdbdev_open(struct lmdbdev *dev)
{
    BB_ASSERT(dev->lmdb == NULL);
    int error = bb_device_sync(&dev->device); /* as every start does */
    if (error == 0) {
        error = bb_lmdb_open(&dev->device, dev->directory, false, &dev->lmdb);
    }
    if (error != 0) {
        dev->lmdb = NULL;
        return error;
    }
    bb_lmdb_index(dev->lmdb, &dev->index);
    return 0;
}

void lmdbdev_close(struct lmdbdev *dev)
{
    if (dev->lmdb != NULL) {
        bb_lmdb_close(dev->lmdb);
    }
    dev->lmdb = NULL;
}

static int wipe(void *context)
{
    struct lmdbdev *dev = context;
    lmdbdev_close(dev);
    lmdbdev_load(dev, &dev->blank);
    return lmdbdev_open(dev);
}

static int put_state(void *context, const struct bb_index_state *state)
{
    struct lmdbdev *dev = context;
    return bb_lmdb_put_state(dev->lmdb, state);
}

struct memindex_mirror lmdbdev_mirror(struct lmdbdev *dev)
{
    BB_ASSERT(dev->lmdb != NULL);
    return (struct memindex_mirror){
        .index = &dev->index, .context = dev, .wipe = wipe, .put_state = put_state};
}

const struct bb_device *lmdbdev_device(const struct lmdbdev *dev)
{
    BB_ASSERT(dev->lmdb == NULL);
    return &dev->device;
}

const char *lmdbdev_directory(const struct lmdbdev *dev)
{
    return dev->directory;
}

static bool make_file(struct lmdbdev *dev)
{
    const char *parents[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};
    for (unsigned i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
        snprintf(dev->directory, sizeof(dev->directory), "%s/bb-crash-XXXXXX",
                 parents[i] != NULL ? parents[i] : "/tmp");
        if (mkdtemp(dev->directory) != NULL) {
            snprintf(dev->path, sizeof(dev->path), "%s/index", dev->directory);
            int fd = open(dev->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            BB_ASSERT(fd >= 0);
            int error = ftruncate(fd, (off_t)LMDBDEV_SIZE);
            BB_ASSERT(error == 0);
            close(fd);
            return true;
        }
    }
    return false;
}

struct lmdbdev *lmdbdev_new(void)
{
    struct lmdbdev *dev = calloc(1, sizeof(*dev));
    BB_ASSERT(dev != NULL);
    unsigned at = 0;
    while (devices[at] != NULL) {
        at++;
        BB_ASSERT(at < DEVICE_MAX);
    }
    if (!make_file(dev)) {
        free(dev);
        return NULL;
    }
    bb_image_init(&dev->visible, LMDBDEV_SIZE);
    bb_image_init(&dev->durable, LMDBDEV_SIZE);
    bb_image_init(&dev->blank, LMDBDEV_SIZE);
    int error = bb_device_open(dev->path, BB_DEVICE_EXCLUSIVE, 0, NULL, &dev->device);
    BB_ASSERT(error == 0);
    devices[at] = dev;
    lmdbtap_link();
    error = bb_lmdb_format(&dev->device, dev->directory);
    BB_ASSERT(error == 0);
    BB_ASSERT(dev->events > 0); /* else nobody stands between */
    BB_ASSERT(dev->undurable_count == 0);
    copy_again(&dev->visible, &dev->blank);
    return dev;
}

void lmdbdev_free(struct lmdbdev *dev)
{
    lmdbdev_close(dev);
    for (unsigned i = 0; i < DEVICE_MAX; i++) {
        devices[i] = devices[i] == dev ? NULL : devices[i];
    }
    bb_device_close(&dev->device);
    (void)unlink(dev->path);
    (void)rmdir(dev->directory);
    forget(dev);
    bb_image_fini(&dev->visible);
    bb_image_fini(&dev->durable);
    bb_image_fini(&dev->blank);
    free(dev->undurable);
    free(dev);
}
