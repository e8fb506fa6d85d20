/* SPDX-License-Identifier: Apache-2.0
 * bbbench: load generator and verifier for a Buddy Blocks server. The table of arguments and its
 * reading; bbbench/run.h does the rest. Exit code: 0 fine, 1 a violation or any other fault, 2
 * wrong usage.
 */
#include "bb/err.h"
#include "bb/random.h"
#include "bb/text.h"
#include "bbbench/run.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SIZE_TEXT_MAX 32
#define ARGUMENT_COUNT (sizeof(arguments) / sizeof(arguments[0]))

typedef bool (*take_function)(struct bb_run_config *config, const char *value);

struct argument {
    const char *name;
    const char *value; /* its word in the help; NULL: none */
    take_function take;
    const char *help;
};

static bool take_u32(const char *value, uint64_t min, uint64_t max, uint32_t *ret_value)
{
    uint64_t number;
    if (!bb_text_to_u64(value, &number) || number < min || number > max)
        return false;
    *ret_value = (uint32_t)number;
    return true;
}

static bool take_url(struct bb_run_config *config, const char *value)
{
    return bb_target_parse(value, &config->target);
}

static bool take_connections(struct bb_run_config *config, const char *value)
{
    return take_u32(value, 1, BB_LOAD_CONNECTIONS_MAX, &config->connections);
}

static bool take_threads(struct bb_run_config *config, const char *value)
{
    return take_u32(value, 1, BB_LOAD_THREADS_MAX, &config->threads);
}

static bool take_batch(struct bb_run_config *config, const char *value)
{
    return take_u32(value, 1, BB_LOAD_BATCH_MAX, &config->batch);
}

/* SIZE or MIN-MAX. */
static bool take_size(struct bb_run_config *config, const char *value)
{
    char min_text[SIZE_TEXT_MAX];
    size_t len = strcspn(value, "-");
    const char *max_text = value[len] == '-' ? value + len + 1 : min_text;
    uint64_t min;
    uint64_t max;
    if (len >= sizeof(min_text))
        return false;
    memcpy(min_text, value, len);
    min_text[len] = '\0';
    if (!bb_text_to_size(min_text, &min) || !bb_text_to_size(max_text, &max))
        return false;
    if (min > max || max > BB_BLOCK_SIZE_MAX)
        return false;
    config->size_min = (uint32_t)min;
    config->size_max = (uint32_t)max;
    return true;
}

static bool find_op(const char *name, size_t len, enum bb_op *ret_op)
{
    for (int i = 0; i < BB_OP_COUNT; i++) {
        const char *candidate = bb_op_name((enum bb_op)i);
        if (strlen(candidate) == len && memcmp(candidate, name, len) == 0) {
            *ret_op = (enum bb_op)i;
            return true;
        }
    }
    return false;
}

static bool take_ops(struct bb_run_config *config, const char *value)
{
    config->op_count = 0;
    while (true) {
        size_t len = strcspn(value, ",");
        if (config->op_count == BB_RUN_PHASES_MAX ||
            !find_op(value, len, &config->ops[config->op_count]))
            return false;
        config->op_count++;
        if (value[len] == '\0')
            return true;
        value += len + 1;
    }
}

static bool take_seconds(struct bb_run_config *config, const char *value)
{
    return bb_text_to_u64(value, &config->seconds) && config->seconds > 0 &&
           config->seconds <= UINT32_MAX;
}

static bool take_requests(struct bb_run_config *config, const char *value)
{
    return bb_text_to_u64(value, &config->requests) && config->requests > 0;
}

static bool take_blocks(struct bb_run_config *config, const char *value)
{
    return bb_text_to_u64(value, &config->blocks);
}

static bool take_stored(struct bb_run_config *config, const char *value)
{
    return bb_text_to_u64(value, &config->stored);
}

static bool take_rate(struct bb_run_config *config, const char *value)
{
    return bb_text_to_u64(value, &config->rate) && config->rate > 0 &&
           config->rate <= BB_RUN_RATE_MAX;
}

static bool take_path(struct bb_run_config *config, const char *value)
{
    config->path = value;
    for (size_t i = 0; value[i] != '\0'; i++)
        if (value[i] <= ' ' || value[i] > '~' || i == BB_LOAD_PATH_MAX)
            return false;
    return value[0] == '/';
}

static bool take_seed(struct bb_run_config *config, const char *value)
{
    return bb_text_to_u64(value, &config->seed);
}

static bool take_choices(struct bb_run_config *config, const char *value)
{
    return bb_text_to_u64(value, &config->choices) && config->choices > 0;
}

static bool take_pid(struct bb_run_config *config, const char *value)
{
    uint32_t pid;
    if (!take_u32(value, 1, INT_MAX, &pid))
        return false;
    config->pid = (pid_t)pid;
    return true;
}

static bool take_ca(struct bb_run_config *config, const char *value)
{
    config->ca = value;
    return value[0] != '\0';
}

static bool take_insecure(struct bb_run_config *config, const char *value)
{
    (void)value;
    config->insecure = true;
    return true;
}

static bool take_verify(struct bb_run_config *config, const char *value)
{
    (void)value;
    config->verify = true;
    return true;
}

static bool take_json(struct bb_run_config *config, const char *value)
{
    (void)value;
    config->json = true;
    return true;
}

static const struct argument arguments[] = {
    {"url", "URL", take_url,
     "server, http or https://ADDRESS:PORT (default http://127.0.0.1:10001)"},
    {"ca", "FILE", take_ca, "https: the certificates to trust, PEM (those of the system)"},
    {"insecure", NULL, take_insecure, "https: trust whoever answers"},
    {"connections", "N", take_connections, "connections, one request in flight on each (64)"},
    {"threads", "N", take_threads, "client threads that share the connections (1)"},
    {"size", "SIZE|MIN-MAX", take_size, "bytes per body, K and M allowed, at most 1M (4096)"},
    {"ops", "LIST", take_ops, "phases, in this order, see below (put,get)"},
    {"seconds", "S", take_seconds, "length of each phase (10; with --requests: no limit)"},
    {"requests", "N", take_requests, "end each phase after N requests"},
    {"rate", "R", take_rate,
     "requests per second in all, open loop: latency from the intended start"},
    {"blocks", "N", take_blocks,
     "have N blocks stored, unmeasured, before the first reading phase"},
    {"stored", "N", take_stored,
     "stored are the first N of an earlier run: same seed, size, threads"},
    {"path", "PATH", take_path, "what the phases plain and upload ask for"},
    {"batch", "N", take_batch, "hashes per request of the phase missing, at most 10000 (100)"},
    {"verify", NULL, take_verify, "hash every body of put and get, not one in 16"},
    {"seed", "X", take_seed, "seed of bodies and choices (random; printed at the end)"},
    {"choices", "X", take_choices,
     "seed of the choices among stored blocks (that of the bodies): another one, other reads"},
    {"pid", "PID", take_pid, "server process: report its CPU per operation and its RssAnon"},
    {"json", NULL, take_json, "print one JSON object per phase and one of totals"},
};

static const char after_arguments[] =
    "\nPhases: put, get, delete, head; missing (POST /blocks/missing, half of the hashes stored);\n"
    "dup (PUT of stored bodies); absent (GET of hashes that nobody stored); mix (70 % get, 25 % "
    "put,\n"
    "5 % delete). All but put and absent use blocks that this run stored. To measure other "
    "servers\n"
    "with the same client: plain (GET of --path, always the same bytes or 204) and upload (PUT of "
    "new\n"
    "bodies to --path and 16 digits).\n"
    "\nBodies are random and unique. Every get compares length and first 16 bytes; where it does "
    "not\n"
    "hash, the rest of a body above 32 KiB is dropped in the kernel, unseen. Latency runs from "
    "the\n"
    "sending of a request to the last byte of its reply, for replies with the expected status.\n"
    "\nA violation is an acknowledged block that is gone or has wrong bytes, length or name.\n"
    "Exit code: 0 fine, 1 a violation or another fault, 2 wrong usage.\n";

static void print_help(void)
{
    printf(
        "usage: bbbench [OPTION]...\nLoad generator and verifier for a Buddy Blocks server.\n\n");
    for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
        const char *value = arguments[i].value != NULL ? arguments[i].value : "";
        printf("  --%-11s %-12s  %s\n", arguments[i].name, value, arguments[i].help);
    }
    printf("  --%-11s %-12s  %s\n", "help", "", "this text");
    printf("  --%-11s %-12s  %s\n", "version", "", "version of the program");
    fputs(after_arguments, stdout);
}

static int refuse(const char *text)
{
    fprintf(stderr, "bbbench: %s, see bbbench --help\n", text);
    return BB_EXIT_USAGE;
}

/* Returns -1 to go on, else the exit code. */
static int read_arguments(int argc, char **argv, struct bb_run_config *config)
{
    struct option options[ARGUMENT_COUNT + 3] = {0};
    for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
        options[i].name = arguments[i].name;
        options[i].has_arg = arguments[i].value != NULL ? required_argument : no_argument;
    }
    options[ARGUMENT_COUNT] = (struct option){.name = "help"};
    options[ARGUMENT_COUNT + 1] = (struct option){.name = "version"};
    int index = 0;
    int found;
    while ((found = getopt_long(argc, argv, "", options, &index)) == 0) {
        if ((size_t)index == ARGUMENT_COUNT) {
            print_help();
            return BB_EXIT_OK;
        }
        if ((size_t)index == ARGUMENT_COUNT + 1) {
            printf("bbbench %s\n", BB_VERSION);
            return BB_EXIT_OK;
        }
        if (!arguments[index].take(config, optarg)) {
            fprintf(stderr, "bbbench: --%s %s: ", arguments[index].name, optarg);
            fprintf(stderr, "not a valid %s, see bbbench --help\n", arguments[index].value);
            return BB_EXIT_USAGE;
        }
    }
    return found == -1 && optind == argc ? -1 : refuse("unknown argument");
}

int main(int argc, char **argv)
{
    struct bb_run_config config = {
        .connections = 64, .threads = 1, .size_min = 4096, .size_max = 4096, .batch = 100};
    bb_random_from_kernel(&config.seed, sizeof(config.seed));
    bool valid = take_url(&config, "http://127.0.0.1:10001") && take_ops(&config, "put,get");
    BB_ASSERT(valid);
    int code = read_arguments(argc, argv, &config);
    if (code >= 0)
        return code;
    if (config.threads > config.connections)
        return refuse("--threads exceeds --connections");
    if (config.seconds == 0 && config.requests == 0)
        config.seconds = 10;
    if (config.stored > 0 &&
        (config.size_min != config.size_max || config.size_min < BB_BODY_UNIQUE_SIZE))
        return refuse("--stored needs one --size, of at least 8 bytes");
    bool stored = config.blocks > 0 || config.stored > 0;
    for (uint32_t i = 0; i < config.op_count; i++) {
        enum bb_op op = config.ops[i];
        if (bb_op_needs_blocks(op) && op != BB_OP_MIX && !stored)
            return refuse("--ops reads blocks before any are stored: put first, or --blocks");
        if ((op == BB_OP_PLAIN || op == BB_OP_UPLOAD) && config.path == NULL)
            return refuse("--ops plain and upload need --path");
        stored = stored || op == BB_OP_PUT || op == BB_OP_MIX;
    }
    return bb_run(&config);
}
