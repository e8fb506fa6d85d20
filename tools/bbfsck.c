/* SPDX-License-Identifier: Apache-2.0
 * bbfsck: offline check and repair of a store, rebuild of its index, growing. Arguments and wiring;
 * crosscheck.h, repair.h, rebuild_index.h, grow.h and fsck_output.h do the rest. Exit codes are
 * those of fsck(8).
 *
 * Check, repair and growing run in a child process: LMDB does not survive every damage of its
 * pages, and a damaged index is a finding, not a crash.
 */
#include "bb/err.h"
#include "bb/fsck_output.h"
#include "bb/grow.h"
#include "bb/pair.h"
#include "bb/rebuild_index.h"
#include "bb/text.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 10000u

struct arguments {
    bool repair, accept_loss, rebuild, grow, dry_run, deep, json, yes, help, version;
    struct bb_pair_options pair;
};

static int usage(FILE *out, int exit_code)
{
    fprintf(out,
            "usage: bbfsck [OPTION]... DATA INDEX\n"
            "Checks a Buddy Blocks store that no daemon has open. Writes nothing unless told "
            "to.\n\n"
            "  --deep         read every block and compare it with its name\n"
            "  --repair       write again what another copy proves, mark corrupt what nothing\n"
            "                 can repair\n"
            "  --accept-loss  with --repair: go on although acknowledged blocks are lost\n"
            "  --rebuild      write a new index from the data device; INDEX may be another,\n"
            "                 larger device\n"
            "  --grow         use the rest of a data device that became larger\n"
            "  --dry-run      with --grow: say what it would do\n"
            "  --yes          do not ask before INDEX is overwritten\n"
            "  --json         one JSON object on standard output\n"
            "  --memory SIZE  working memory (64M; --rebuild: a quarter of the machine's)\n"
            "  --help         this text\n"
            "  --version      version of the program\n\n"
            "Exit code: 0 clean, 1 repaired, rebuilt or grown, 4 errors left, 8 failed, 16 wrong "
            "usage.\n");
    return exit_code;
}

static void on_wait(const char *sentence)
{
    fprintf(stderr, "bbfsck: %s\n", sentence);
}

static bool confirm(void *context, const char *question)
{
    char answer[16];
    (void)context;
    if (isatty(STDIN_FILENO) != 1)
        return false;
    fprintf(stderr, "%s Go on? (yes/no) ", question);
    fflush(stderr);
    return fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

/* 0, or -1 with the complaint said. */
static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option table[] = {
        {"rebuild", no_argument, NULL, 'r'},      {"deep", no_argument, NULL, 'd'},
        {"repair", no_argument, NULL, 'p'},       {"accept-loss", no_argument, NULL, 'a'},
        {"grow", no_argument, NULL, 'g'},         {"dry-run", no_argument, NULL, 'n'},
        {"json", no_argument, NULL, 'j'},         {"yes", no_argument, NULL, 'y'},
        {"memory", required_argument, NULL, 'm'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
    };
    int found;
    while ((found = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (found) {
        case 'r':
            arguments->rebuild = true;
            break;
        case 'd':
            arguments->deep = true;
            break;
        case 'p':
            arguments->repair = true;
            break;
        case 'a':
            arguments->accept_loss = true;
            break;
        case 'g':
            arguments->grow = true;
            break;
        case 'n':
            arguments->dry_run = true;
            break;
        case 'j':
            arguments->json = true;
            break;
        case 'y':
            arguments->yes = true;
            break;
        case 'm':
            if (bb_text_to_size(optarg, &arguments->pair.memory) &&
                arguments->pair.memory >= BB_RECOVER_SCRATCH_MIN)
                break;
            fprintf(stderr, "bbfsck: --memory: %s, allow at least 4M\n", optarg);
            return -1;
        case 'h':
            arguments->help = true;
            return 0;
        case 'v':
            arguments->version = true;
            return 0;
        default:
            return -1;
        }
    }
    if (argc - optind != 2) {
        fprintf(stderr, "bbfsck: %d devices named, name DATA and INDEX\n", argc - optind);
        return -1;
    }
    if ((arguments->accept_loss && !arguments->repair) ||
        (arguments->dry_run && !arguments->grow) ||
        arguments->repair + arguments->rebuild + arguments->grow > 1) {
        fprintf(stderr, "bbfsck: --accept-loss goes with --repair, --dry-run with --grow; "
                        "--repair, --rebuild and --grow each go alone\n");
        return -1;
    }
    arguments->pair.data_path = argv[optind];
    arguments->pair.index_path = argv[optind + 1];
    if (arguments->pair.memory == 0)
        arguments->pair.memory =
            arguments->rebuild ? bb_rebuild_index_memory() : BB_PAIR_MEMORY_DEFAULT;
    arguments->pair.may_read_only =
        !arguments->rebuild && !arguments->repair && (!arguments->grow || arguments->dry_run);
    return 0;
}

static int check(struct bb_pair *pair, struct bb_fsck_output *output, bool deep)
{
    struct bb_explain explain;
    struct bb_crosscheck_report report;
    struct bb_crosscheck_options options = {.found = bb_fsck_output_finding, .deep = deep};
    options.index_error = bb_pair_open_index(pair, true, &explain);
    pair->config.progress = bb_fsck_output_progress;
    pair->config.context = output;
    int error = bb_crosscheck_run(&pair->config, &options, &report, &explain);
    return error == 0 ? bb_fsck_output_checked(output, &report)
                      : bb_fsck_output_failed(output, error, explain.text);
}

/* The pair as a repair uses it. */
struct repaired_pair {
    struct bb_pair *pair;
    bool yes;
};

static int open_index(void *context)
{
    struct bb_explain unused;
    return bb_pair_open_index(((struct repaired_pair *)context)->pair, false, &unused);
}

static void close_index(void *context)
{
    bb_pair_close_index(((struct repaired_pair *)context)->pair);
}

static int rebuild_index(void *context, struct bb_recovered *ret_recovered,
                         struct bb_explain *ret_explain)
{
    struct repaired_pair *repaired = context;
    struct bb_pair *pair = repaired->pair;
    struct bb_rebuild_options options = {.confirm = repaired->yes ? NULL : confirm,
                                         .progress = pair->config.progress,
                                         .context = pair->config.context};
    return bb_rebuild_index(pair, &options, ret_recovered, ret_explain);
}

static int repair(struct bb_pair *pair, struct bb_fsck_output *output,
                  const struct arguments *arguments, bool index_lost)
{
    struct bb_explain explain;
    struct bb_repair_report report;
    struct repaired_pair repaired = {.pair = pair, .yes = arguments->yes};
    const struct bb_repair_index index = {
        .open = open_index, .close = close_index, .rebuild = rebuild_index, .context = &repaired};
    const struct bb_repair_options options = {.accept_loss = arguments->accept_loss,
                                              .deep = arguments->deep,
                                              .index_lost = index_lost,
                                              .found = bb_fsck_output_finding,
                                              .left = bb_fsck_output_left};
    pair->config.progress = bb_fsck_output_progress;
    pair->config.context = output;
    int error = bb_repair_run(&pair->config, &index, &options, &report, &explain);
    return error == 0 ? bb_fsck_output_repaired(output, &report, explain.text)
                      : bb_fsck_output_failed(output, error, explain.text);
}

static int grow(struct bb_pair *pair, struct bb_fsck_output *output, bool dry_run)
{
    struct bb_explain explain;
    struct bb_grow_report report;
    struct bb_grow_options options = {.found = bb_fsck_output_finding, .dry_run = dry_run};
    options.index_error = bb_pair_open_index(pair, true, &explain);
    pair->config.progress = bb_fsck_output_progress;
    pair->config.context = output;
    int error = bb_grow_run(&pair->config, &options, &report, &explain);
    return error == 0 ? bb_fsck_output_grown(output, &report, dry_run)
                      : bb_fsck_output_failed(output, error, explain.text);
}

/* The exit code of a child that checks, repairs or grows, -1 when it crashed. It does not close the
 * pair: the claims are the parent's. */
static int run_in_child(struct bb_pair *pair, struct bb_fsck_output *output,
                        const struct arguments *arguments, bool index_lost)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return bb_fsck_output_failed(output, -errno, "no process for the check, try again");
    if (child == 0) {
        int code = arguments->repair ? repair(pair, output, arguments, index_lost)
                   : arguments->grow ? grow(pair, output, arguments->dry_run)
                                     : check(pair, output, arguments->deep);
        bb_pair_close_index(pair);
        fflush(NULL);
        _exit(code);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_checked(struct bb_pair *pair, struct bb_fsck_output *output,
                       const struct arguments *arguments)
{
    int code = run_in_child(pair, output, arguments, false);
    if (code < 0 && arguments->repair) {
        fprintf(stderr, "bbfsck: reading the index crashed, going on without it\n");
        code = run_in_child(pair, output, arguments, true);
    }
    if (code >= 0)
        return code;
    return bb_fsck_output_failed(output, BB_ERR_INDEX_DAMAGED,
                                 "index device: reading it crashed: damaged or not readable, run "
                                 "bbfsck --repair or --rebuild");
}

static int rebuild(struct bb_pair *pair, struct bb_fsck_output *output, bool yes)
{
    struct bb_explain explain;
    struct bb_recovered recovered;
    struct bb_rebuild_options options = {
        .confirm = yes ? NULL : confirm, .progress = bb_fsck_output_progress, .context = output};
    int error = bb_rebuild_index(pair, &options, &recovered, &explain);
    return error == 0 ? bb_fsck_output_rebuilt(output, &recovered)
                      : bb_fsck_output_failed(output, error, explain.text);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.pair = {.wait_ms = WAIT_MS, .on_wait = on_wait}};
    struct bb_fsck_output output;
    struct bb_explain explain;
    struct bb_pair pair;
    if (read_arguments(argc, argv, &arguments) != 0)
        return usage(stderr, BB_FSCK_USAGE);
    if (arguments.help)
        return usage(stdout, BB_FSCK_CLEAN);
    if (arguments.version) {
        printf("bbfsck %s\n", BB_VERSION);
        return BB_FSCK_CLEAN;
    }
    bb_fsck_output_init(&output, stdout, arguments.json);
    int code;
    int error = bb_pair_open(&pair, &arguments.pair, &explain);
    if (error != 0)
        code = bb_fsck_output_failed(&output, error, explain.text);
    else if (arguments.rebuild)
        code = rebuild(&pair, &output, arguments.yes);
    else
        code = run_checked(&pair, &output, &arguments);
    bb_pair_close(&pair);
    return code;
}
