/* SPDX-License-Identifier: Apache-2.0
 * bbpowertest: does this disk keep what it said it had written, when its power is cut? `write`
 * fills it with numbered records and reports each flush; `check` compares afterwards. Arguments and
 * sentences; tools/bbpowertest/ does the rest.
 *
 * Exit codes: err.h; check: 0 all there, 1 acknowledged records are lost.
 */
#include "bb/err.h"
#include "bb/random.h"
#include "bb/signature.h"
#include "bb/text.h"
#include "bbpowertest/check.h"
#include "bbpowertest/report.h"
#include "bbpowertest/write.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 1000u
#define SIZE_DEFAULT (UINT64_C(1) << 30)
#define DEPTH_DEFAULT 32u

struct options {
    const char *device, *report;
    uint64_t size, depth, seconds;
    bool force, whole_disk;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static int usage(FILE *out, int exit_code)
{
    fputs(
        "usage: bbpowertest write [OPTION]... DEVICE    overwrites DEVICE until the power is cut\n"
        "       bbpowertest check DEVICE REPORT         afterwards: what is lost\n\n"
        "  --report TO    HOST:PORT or a file on another disk (standard output)\n"
        "  --size SIZE    use the first SIZE of DEVICE (1G, or all if it is smaller)\n"
        "  --depth N      records of 4 KiB between two flushes (32)\n"
        "  --seconds N    end after N seconds (0: never)\n"
        "  --force        destroy what stands on DEVICE\n"
        "  --whole-disk   take a whole disk, not only a partition\n"
        "  --help         this text\n"
        "  --version      version of the program\n\n"
        "The report must outlive the cut: over ssh, or to `nc -l 9000 > report` elsewhere. Cut\n"
        "the power of the disk, not only the machine's reset line, and do it many times: a disk\n"
        "that loses nothing once may do so the next time. Sizes take K, M, G, T.\n",
        out);
    return exit_code;
}

/* Refuses a device with something on it; says what and which option overrides it. */
static int look_before_writing(const struct bb_device *device, const struct options *options)
{
    struct bb_signatures signatures;
    if (device->whole_disk && !options->whole_disk) {
        fprintf(stderr,
                "bbpowertest: %s: it is a whole disk, name a partition or say "
                "--whole-disk\n",
                device->path);
        return BB_ERR_REFUSED;
    }
    int error = bb_signature_find(device, &signatures);
    if (error != 0) {
        fprintf(stderr, "bbpowertest: %s: %s\n", device->path, bb_err_text(error));
        return error;
    }
    if (options->force || (signatures.count == 0 && !signatures.nonzero_head))
        return 0;
    fprintf(stderr, "bbpowertest: %s: found %s, --force destroys it\n", device->path,
            signatures.count > 0 ? signatures.found[0].name : "bytes that are not zero");
    return BB_ERR_REFUSED;
}

static int open_device(const char *path, enum bb_device_mode mode, struct bb_device *ret_device)
{
    int error = bb_device_open(path, mode, WAIT_MS, NULL, ret_device);
    if (error != 0)
        fprintf(stderr, "bbpowertest: %s: %s\n", path, bb_err_text(error));
    return error;
}

static int write_command(const struct options *options)
{
    struct bb_device device;
    struct bb_power_report report;
    struct bb_power_plan plan;
    struct bb_uuid run;
    int error = open_device(options->device, BB_DEVICE_EXCLUSIVE, &device);
    if (error != 0)
        return error;
    uint64_t size = options->size < device.size ? options->size : device.size;
    uint64_t slots = size / BB_POWER_RECORD;
    if (slots < BB_POWER_SLOTS_MIN || slots > BB_POWER_SLOTS_MAX) {
        fprintf(stderr, "bbpowertest: %s: %llu bytes, between 256K and 8T can be used\n",
                device.path, (unsigned long long)size);
        error = BB_ERR_USAGE;
    }
    if (error == 0)
        error = look_before_writing(&device, options);
    if (error == 0)
        error = bb_power_report_open(&report, options->report);
    if (error == 0) {
        bb_random_from_kernel(&run, sizeof(run));
        bb_power_plan_make(&run, slots, (uint32_t)options->depth, &plan);
        error = bb_power_write(&device, &plan, &report, options->seconds, &stop);
        bb_power_report_close(&report);
    }
    bb_device_close(&device);
    return error;
}

static void say_losses(const struct bb_power_plan *plan, const struct bb_power_findings *findings)
{
    for (uint64_t i = 0; i < findings->lost && i < BB_POWER_LOSSES_SHOWN; i++) {
        const struct bb_power_loss *loss = &findings->first[i];
        printf("  byte %llu: record %llu was acknowledged, ", (unsigned long long)loss->offset,
               (unsigned long long)loss->expected);
        if (loss->older)
            printf("the older record %llu stands there\n", (unsigned long long)loss->found);
        else
            printf("no whole record stands there\n");
    }
    if (findings->lost > BB_POWER_LOSSES_SHOWN)
        printf("  and %llu more\n", (unsigned long long)(findings->lost - BB_POWER_LOSSES_SHOWN));
    printf("LOST: %llu of %llu places, the oldest %llu flushes before the last one (%u records "
           "each).\nThis disk, or what is between it and this program, does not keep what it "
           "acknowledges.\n",
           (unsigned long long)findings->lost, (unsigned long long)findings->checked,
           (unsigned long long)findings->oldest_flush, plan->depth);
}

static int check_command(const struct options *options, bool *ret_lost)
{
    struct bb_device device;
    struct bb_power_plan plan;
    struct bb_power_findings findings;
    uint64_t acknowledged;
    int error = bb_power_report_read(options->report, &plan, &acknowledged);
    if (error != 0) {
        fprintf(stderr, "bbpowertest: %s: %s\n", options->report,
                error == BB_ERR_USAGE ? "no run is reported in it" : bb_err_text(error));
        return error;
    }
    error = open_device(options->device, BB_DEVICE_READ, &device);
    if (error != 0)
        return error;
    if (device.size < plan.slots * BB_POWER_RECORD) {
        fprintf(stderr, "bbpowertest: %s: %llu bytes, the run wrote to a larger device\n",
                device.path, (unsigned long long)device.size);
        error = BB_ERR_REFUSED;
    } else {
        error = bb_power_check(&device, &plan, acknowledged, &findings);
        if (error != 0)
            fprintf(stderr, "bbpowertest: %s: %s\n", device.path, bb_err_text(error));
    }
    bb_device_close(&device);
    if (error != 0)
        return error;
    printf("%llu records were acknowledged with %llu flushes; %llu places checked, %llu have a "
           "later record, %llu were being written\n",
           (unsigned long long)acknowledged, (unsigned long long)(acknowledged / plan.depth),
           (unsigned long long)findings.checked, (unsigned long long)findings.unflushed,
           (unsigned long long)findings.torn);
    *ret_lost = findings.lost > 0;
    if (*ret_lost)
        say_losses(&plan, &findings);
    else
        printf("Nothing is lost this time. That is evidence only if the power was really cut "
               "while records were written.\n");
    return 0;
}

static bool read_option(int option, const char *value, struct options *options)
{
    switch (option) {
    case 'r':
        options->report = value;
        return true;
    case 's':
        return bb_text_to_size(value, &options->size);
    case 'd':
        return bb_text_to_u64(value, &options->depth) && options->depth >= 1 &&
               options->depth <= BB_POWER_DEPTH_MAX;
    case 't':
        return bb_text_to_u64(value, &options->seconds);
    case 'f':
        return options->force = true;
    case 'w':
        return options->whole_disk = true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option table[] = {{"report", required_argument, NULL, 'r'},
                                          {"size", required_argument, NULL, 's'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"force", no_argument, NULL, 'f'},
                                          {"whole-disk", no_argument, NULL, 'w'},
                                          {0}};
    struct options options = {.size = SIZE_DEFAULT, .depth = DEPTH_DEFAULT};
    bool lost = false;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, BB_EXIT_OK);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("bbpowertest %s\n", BB_VERSION);
        return BB_EXIT_OK;
    }
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == '?')
            return usage(stderr, BB_EXIT_USAGE);
        if (!read_option(option, optarg, &options)) {
            fprintf(stderr, "bbpowertest: %s is out of bounds\n", optarg);
            return usage(stderr, BB_EXIT_USAGE);
        }
    }
    int count = argc - optind;
    char **words = argv + optind;
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    if (count == 2 && strcmp(words[0], "write") == 0) {
        options.device = words[1];
        return bb_err_exit(write_command(&options));
    }
    if (count == 3 && strcmp(words[0], "check") == 0) {
        options.device = words[1];
        options.report = words[2];
        int error = check_command(&options, &lost);
        return error != 0 ? bb_err_exit(error) : lost ? BB_EXIT_FAILURE : BB_EXIT_OK;
    }
    return usage(stderr, BB_EXIT_USAGE);
}
