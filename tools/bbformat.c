/* SPDX-License-Identifier: Apache-2.0
 * bbformat: lays out a data device and an index device. The table of arguments and its reading;
 * format_devices.h does the rest. Exit codes: err.h.
 */
#include "bb/clock.h"
#include "bb/err.h"
#include "bb/format_devices.h"
#include "bb/partition.h"
#include "bb/progress.h"
#include "bb/text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 1000u

typedef bool take_function(struct bb_format_options *options, const char *value);

struct argument {
    const char *name;
    const char *value; /* its word in the help; NULL: none */
    take_function *take;
    const char *help; /* NULL: not shown */
};

static bool take_force(struct bb_format_options *options, const char *value)
{
    (void)value;
    return options->force = true;
}

static bool take_whole_disk(struct bb_format_options *options, const char *value)
{
    (void)value;
    return options->whole_disk = true;
}

static bool take_dry_run(struct bb_format_options *options, const char *value)
{
    (void)value;
    return options->dry_run = true;
}

static bool take_discard(struct bb_format_options *options, const char *value)
{
    (void)value;
    return options->discard = true;
}

static bool take_size(struct bb_format_options *options, const char *value)
{
    return bb_text_to_size(value, &options->data_size) && options->data_size != 0;
}

static bool take_index_size(struct bb_format_options *options, const char *value)
{
    return bb_text_to_size(value, &options->index_size) && options->index_size != 0;
}

static bool take_journal(struct bb_format_options *options, const char *value)
{
    return bb_text_to_size(value, &options->journal_size) && options->journal_size != 0;
}

static bool take_zone(struct bb_format_options *options, const char *value)
{
    return bb_text_to_size(value, &options->zone_size) && options->zone_size != 0;
}

static bool take_label(struct bb_format_options *options, const char *value)
{
    options->label = value;
    return true;
}

static const struct argument arguments[] = {
    {"force", NULL, take_force, "destroy signatures and overwrite a head that is not zero"},
    {"whole-disk", NULL, take_whole_disk, "take a whole disk, not only a partition"},
    {"dry-run", NULL, take_dry_run, "check and say everything, write nothing"},
    {"size", "SIZE", take_size, "make DATA a file of this size"},
    {"index-size", "SIZE", take_index_size, "make INDEX a file of this size (2.5 % of the data)"},
    {"journal", "SIZE", take_journal, "size of the journal (a 128th of the data, 8M to 512M)"},
    {"label", "NAME", take_label, "name of the store, at most 32 bytes"},
    {"discard", NULL, take_discard, "discard both devices first"},
    {"zone", "SIZE", take_zone, NULL},
};
#define ARGUMENT_COUNT (sizeof(arguments) / sizeof(arguments[0]))

static int usage(FILE *out, int exit_code)
{
    fprintf(out, "usage: bbformat [OPTION]... DATA INDEX\n"
                 "Lays out two block devices (or files) as a Buddy Blocks store.\n\n");
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        if (arguments[i].help != NULL)
            fprintf(out, "  --%-10s %-5s %s\n", arguments[i].name,
                    arguments[i].value != NULL ? arguments[i].value : "", arguments[i].help);
    fprintf(out, "  --%-10s %-5s %s\n  --%-10s %-5s %s\n", "help", "", "this text", "version", "",
            "version of the program");
    fprintf(out,
            "\nSizes take K, M, G, T (powers of 1024). Partition types (sgdisk --typecode), by "
            "which\nudev finds the halves: data %s\n%30s index %s\n",
            BB_PARTITION_TYPE_DATA, "", BB_PARTITION_TYPE_INDEX);
    return exit_code;
}

/* The bar is drawn by a thread of its own: a step may be one call that takes minutes. */
struct watch {
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t ended;
    struct bb_progress progress;
    const char *step;
    uint64_t done, total;
    bool end;
};

static void *watch_main(void *argument)
{
    struct watch *watch = argument;
    (void)pthread_mutex_lock(&watch->lock);
    while (!watch->end) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += BB_PROGRESS_EVERY_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&watch->ended, &watch->lock, &until);
        if (!watch->end)
            bb_progress_show(&watch->progress, watch->step, watch->done, watch->total);
    }
    bb_progress_clear(&watch->progress);
    (void)pthread_mutex_unlock(&watch->lock);
    return NULL;
}

static void watch_begin(struct watch *watch)
{
    bb_progress_init(&watch->progress);
    if (watch->progress.terminal && pthread_create(&watch->thread, NULL, watch_main, watch) != 0)
        watch->progress.terminal = false; /* it goes without */
}

static void watch_end(struct watch *watch)
{
    if (!watch->progress.terminal)
        return;
    (void)pthread_mutex_lock(&watch->lock);
    watch->end = true;
    (void)pthread_cond_signal(&watch->ended);
    (void)pthread_mutex_unlock(&watch->lock);
    (void)pthread_join(watch->thread, NULL);
}

static void on_progress(void *context, const char *step, uint64_t done, uint64_t total)
{
    struct watch *watch = context;
    (void)pthread_mutex_lock(&watch->lock);
    watch->step = step;
    watch->done = done;
    watch->total = total;
    (void)pthread_mutex_unlock(&watch->lock);
}

static void say(void *context, const char *line)
{
    struct watch *watch = context;
    (void)pthread_mutex_lock(&watch->lock);
    bb_progress_clear(&watch->progress);
    printf("%s\n", line);
    fflush(stdout);
    (void)pthread_mutex_unlock(&watch->lock);
}

static void on_wait(const char *sentence)
{
    fprintf(stderr, "bbformat: %s\n", sentence);
}

/* Reads the arguments; 0, or -1 with the complaint said. */
static int read_arguments(int argc, char **argv, struct bb_format_options *options)
{
    struct option table[ARGUMENT_COUNT + 1] = {{0}};
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        table[i] =
            (struct option){.name = arguments[i].name,
                            .has_arg = arguments[i].value != NULL ? required_argument : no_argument,
                            .val = 'a'};
    int index, found;
    while ((found = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (found != 'a')
            return -1;
        if (!arguments[index].take(options, optarg)) {
            fprintf(stderr, "bbformat: --%s: %s is no size, write for example 512M\n",
                    arguments[index].name, optarg);
            return -1;
        }
    }
    if (argc - optind != 2) {
        fprintf(stderr, "bbformat: %d devices named, name DATA and INDEX\n", argc - optind);
        return -1;
    }
    options->data_path = argv[optind];
    options->index_path = argv[optind + 1];
    return 0;
}

/* udev looks again at a device that was closed, but misses a close while it is looking: at what a
 * dry run just before left, say. An event of its own waits its turn. */
static void announce(const char *path)
{
    struct stat status;
    char name[64];
    if (stat(path, &status) != 0 || !S_ISBLK(status.st_mode))
        return;
    (void)snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/uevent", major(status.st_rdev),
                   minor(status.st_rdev));
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "change", 6) < 0)
        fprintf(stderr, "bbformat: udev was not told of %s: %s\n", path, strerror(errno));
    (void)close(fd);
}

int main(int argc, char **argv)
{
    struct watch watch = {.lock = PTHREAD_MUTEX_INITIALIZER,
                          .ended = PTHREAD_COND_INITIALIZER,
                          .step = "looking at the devices"};
    struct bb_format_options options = {.wait_ms = WAIT_MS,
                                        .say = say,
                                        .progress = on_progress,
                                        .context = &watch,
                                        .on_wait = on_wait};
    struct bb_format_result result;
    struct bb_explain explain;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, BB_EXIT_OK);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("bbformat %s\n", BB_VERSION);
        return BB_EXIT_OK;
    }
    if (read_arguments(argc, argv, &options) != 0)
        return usage(stderr, BB_EXIT_USAGE);
    uint64_t begin_ms = bb_clock_ms();
    watch_begin(&watch);
    int error = bb_format_devices(&options, &result, &explain);
    watch_end(&watch);
    if (error != 0) {
        fprintf(stderr, "bbformat: %s\n", explain.text);
        return bb_err_exit(error);
    }
    uint64_t took_ms = bb_clock_ms() - begin_ms;
    if (options.dry_run) {
        printf("dry run, nothing was written\n");
        return BB_EXIT_OK;
    }
    printf("formatted in %llu.%03llu s\n", (unsigned long long)(took_ms / 1000),
           (unsigned long long)(took_ms % 1000));
    announce(options.data_path);
    announce(options.index_path);
    return BB_EXIT_OK;
}
