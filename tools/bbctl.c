/* SPDX-License-Identifier: Apache-2.0
 * bbctl: asks a running daemon, and looks at devices. The tables of commands and options and their
 * reading; tools/bbctl does the rest. Exit codes: bbctl/command.h.
 */
#include "bb/text.h"
#include "bbctl/command.h"
#include "bbctl/tls.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    const char *words; /* what follows it, in the help */
    int word_min, word_max;
    int (*run)(const struct bb_ctl_options *options, char **words);
    const char *help;
};

static const struct command commands[] = {
    {"status", "", 0, 0, bb_ctl_status, "state of the daemon and its store"},
    {"space", "", 0, 0, bb_ctl_space, "used and free space"},
    {"list", "", 0, 0, bb_ctl_list, "hash and size of every block, in hash order"},
    {"verify", "HASH", 1, 1, bb_ctl_verify, "fetch a block and compare it with its name"},
    {"copy", "FROM TO", 2, 2, bb_ctl_copy, "all blocks of one running store into another"},
    {"trim", "[WORD]", 0, 1, bb_ctl_trim, "discard free space; start, stop, status: no waiting"},
    {"scrub", "WORD", 1, 1, bb_ctl_scrub, "start, pause or status: everything is read again"},
    {"config", "", 0, 0, bb_ctl_config, "effective configuration of the daemon"},
    {"probe", "DEVICE", 1, 1, bb_ctl_probe, "which store a device or file belongs to"},
    {"token", "new", 1, 1, bb_ctl_token, "make a token and the line for the tokens file"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

typedef bool take_function(struct bb_ctl_options *options, const char *value);

struct argument {
    const char *name;
    const char *value; /* its word in the help; NULL: none */
    take_function *take;
    const char *help;
};

static bool take_socket(struct bb_ctl_options *options, const char *value)
{
    options->socket = value;
    return value[0] != '\0';
}

static bool take_url(struct bb_ctl_options *options, const char *value)
{
    options->url = value;
    return value[0] != '\0';
}

static bool take_token_file(struct bb_ctl_options *options, const char *value)
{
    options->token_file = value;
    return value[0] != '\0';
}

static bool take_ca(struct bb_ctl_options *options, const char *value)
{
    options->ca = value;
    return value[0] != '\0';
}

static bool take_certificate(struct bb_ctl_options *options, const char *value)
{
    options->certificate = value;
    return value[0] != '\0';
}

static bool take_key(struct bb_ctl_options *options, const char *value)
{
    options->key = value;
    return value[0] != '\0';
}

static bool take_json(struct bb_ctl_options *options, const char *value)
{
    (void)value;
    return options->json = true;
}

static bool take_after(struct bb_ctl_options *options, const char *value)
{
    options->after = value;
    return true;
}

static bool take_limit(struct bb_ctl_options *options, const char *value)
{
    return bb_text_to_u64(value, &options->limit) && options->limit > 0;
}

static bool take_udev(struct bb_ctl_options *options, const char *value)
{
    (void)value;
    return options->udev = true;
}

static bool take_scopes(struct bb_ctl_options *options, const char *value)
{
    options->scopes = value;
    return true;
}

static bool take_name(struct bb_ctl_options *options, const char *value)
{
    options->name = value;
    return value[0] != '\0';
}

static bool take_from_token(struct bb_ctl_options *options, const char *value)
{
    options->from_token = value;
    return value[0] != '\0';
}

static bool take_to_token(struct bb_ctl_options *options, const char *value)
{
    options->to_token = value;
    return value[0] != '\0';
}

static bool take_connections(struct bb_ctl_options *options, const char *value)
{
    return bb_text_to_u64(value, &options->connections);
}

static bool take_limit_rate(struct bb_ctl_options *options, const char *value)
{
    return bb_text_to_size(value, &options->rate) && options->rate > 0;
}

static bool take_verify(struct bb_ctl_options *options, const char *value)
{
    (void)value;
    return options->verify = true;
}

static bool take_delete(struct bb_ctl_options *options, const char *value)
{
    (void)value;
    return options->remove = true;
}

static bool take_dry_run(struct bb_ctl_options *options, const char *value)
{
    (void)value;
    return options->dry_run = true;
}

static bool take_force(struct bb_ctl_options *options, const char *value)
{
    (void)value;
    return options->force = true;
}

static const struct argument arguments[] = {
    {"socket", "PATH", take_socket, "unix socket of the daemon (" BB_CTL_SOCKET ")"},
    {"url", "URL", take_url, "reach it by http://HOST:PORT or https: instead"},
    {"token-file", "FILE", take_token_file, "file with the token to present"},
    {"ca", "FILE", take_ca, "verify https by this authority's certificate (the system's)"},
    {"certificate", "FILE", take_certificate, "certificate to present to https servers"},
    {"key", "FILE", take_key, "its key"},
    {"json", NULL, take_json, "one JSON object instead of a table"},
    {"after", "HASH", take_after, "list, copy: only what comes behind this hash"},
    {"limit", "N", take_limit, "list: at most N blocks"},
    {"from-token", "FILE", take_from_token, "copy: file with the token for the source"},
    {"to-token", "FILE", take_to_token, "copy: file with the token for the target"},
    {"connections", "N", take_connections, "copy: so many at once, 1 to 64 (8)"},
    {"limit-rate", "SIZE", take_limit_rate, "copy: at most so many bytes per second"},
    {"verify", NULL, take_verify, "copy: read every block back from the target"},
    {"delete", NULL, take_delete, "copy: delete at the target what the source lacks"},
    {"dry-run", NULL, take_dry_run, "copy: only say what would be done"},
    {"force", NULL, take_force, "copy: delete even more than half of the target"},
    {"udev", NULL, take_udev, "probe: properties as udev imports them"},
    {"scopes", "LIST", take_scopes, "token new: of read, write, delete, admin (read)"},
    {"name", "NAME", take_name, "token new: who it is for"},
};
#define ARGUMENT_COUNT (sizeof(arguments) / sizeof(arguments[0]))

void bb_ctl_complain(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)fputs("bbctl: ", stderr);
    (void)vfprintf(stderr, format, list);
    (void)fputc('\n', stderr);
    va_end(list);
}

static int usage(FILE *out, int code)
{
    fprintf(out, "usage: bbctl [OPTION]... COMMAND\n"
                 "Asks a running Buddy Blocks daemon, and looks at devices.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-7s %-8s %s\n", commands[i].name, commands[i].words, commands[i].help);
    fprintf(out, "\n");
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        fprintf(out, "  --%-11s %-5s %s\n", arguments[i].name,
                arguments[i].value != NULL ? arguments[i].value : "", arguments[i].help);
    fprintf(out, "  --%-11s %-5s %s\n  --%-11s %-5s %s\n", "help", "", "this text", "version", "",
            "version of the program");
    fprintf(out, "\nExit code: 0 done, 1 failed, 2 wrong usage, 3 not ready or corrupt, 4 absent,\n"
                 "5 not allowed, 6 target full; copy: 128 + the signal that interrupted it.\n");
    return code;
}

/* 0, or -1 with the complaint said. help and version are told by what they return in *ret_letter.
 */
static int read_arguments(int argc, char **argv, struct bb_ctl_options *options, char *ret_letter)
{
    struct option table[ARGUMENT_COUNT + 3] = {{0}};
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        table[i] =
            (struct option){.name = arguments[i].name,
                            .has_arg = arguments[i].value != NULL ? required_argument : no_argument,
                            .val = 'a'};
    table[ARGUMENT_COUNT] = (struct option){"help", no_argument, NULL, 'h'};
    table[ARGUMENT_COUNT + 1] = (struct option){"version", no_argument, NULL, 'v'};
    int index, found;
    while ((found = getopt_long(argc, argv, "", table, &index)) != -1) {
        *ret_letter = (char)found;
        if (found == 'h' || found == 'v')
            return 0;
        if (found != 'a')
            return -1;
        if (!arguments[index].take(options, optarg)) {
            bb_ctl_complain("--%s: %s is no %s", arguments[index].name, optarg,
                            arguments[index].value);
            return -1;
        }
    }
    *ret_letter = '\0';
    return 0;
}

static const struct command *find_command(int argc, char **argv)
{
    if (optind == argc) {
        bb_ctl_complain("no command named, say one of those below");
        return NULL;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *command = &commands[i];
        int words = argc - optind - 1;
        if (strcmp(command->name, argv[optind]) != 0)
            continue;
        if (words >= command->word_min && words <= command->word_max)
            return command;
        bb_ctl_complain("%s: %d words follow, say: bbctl %s %s", command->name, words,
                        command->name, command->words);
        return NULL;
    }
    bb_ctl_complain("%s: no such command", argv[optind]);
    return NULL;
}

int bb_ctl_connect(const struct bb_ctl_options *options, struct bb_ctl_client *ret_client)
{
    const char *why;
    int error = 0;
    if (options->url != NULL) {
        if (bb_ctl_client_open_url(ret_client, options->url, &why) != 0) {
            bb_ctl_complain("%s: %s", options->url, why);
            return BB_CTL_FAILED;
        }
    } else {
        error = bb_ctl_client_open_unix(ret_client, options->socket);
    }
    if (error != 0) {
        bb_ctl_complain("%s: %s; is bbd running? --socket or --url name another way",
                        options->socket, strerror(-error));
        return error == -EACCES || error == -EPERM ? BB_CTL_DENIED : BB_CTL_FAILED;
    }
    if (options->token_file == NULL ||
        bb_ctl_client_take_token(ret_client, options->token_file, &why) == 0)
        return BB_CTL_OK;
    bb_ctl_complain("%s: %s", options->token_file, why);
    bb_ctl_client_close(ret_client);
    return BB_CTL_FAILED;
}

int bb_ctl_refused(const struct bb_ctl_reply *reply)
{
    bb_ctl_complain("the daemon says %u: %.*s", reply->status, (int)strcspn(reply->body, "\n"),
                    reply->body);
    if (reply->status == 401 || reply->status == 403)
        return BB_CTL_DENIED;
    return reply->status == 503 ? BB_CTL_DEGRADED : BB_CTL_FAILED;
}

static int prepare_tls(const struct bb_ctl_options *options)
{
    if ((options->certificate == NULL) != (options->key == NULL)) {
        bb_ctl_complain("--certificate and --key belong together");
        return BB_CTL_USAGE;
    }
    if (options->ca != NULL && bb_ctl_tls_trust(options->ca) != 0) {
        bb_ctl_complain("--ca: %s has no certificate in PEM", options->ca);
        return BB_CTL_FAILED;
    }
    if (options->key == NULL || bb_ctl_tls_present(options->certificate, options->key) == 0)
        return BB_CTL_OK;
    bb_ctl_complain("--certificate, --key: %s and %s are no certificate and its key in PEM",
                    options->certificate, options->key);
    return BB_CTL_FAILED;
}

int main(int argc, char **argv)
{
    struct bb_ctl_options options = {.socket = BB_CTL_SOCKET, .scopes = "read", .connections = 8};
    char letter;
    if (read_arguments(argc, argv, &options, &letter) != 0)
        return usage(stderr, BB_CTL_USAGE);
    if (letter == 'h')
        return usage(stdout, BB_CTL_OK);
    if (letter == 'v') {
        printf("bbctl %s\n", BB_VERSION);
        return BB_CTL_OK;
    }
    const struct command *command = find_command(argc, argv);
    if (command == NULL)
        return usage(stderr, BB_CTL_USAGE);
    int code = prepare_tls(&options);
    if (code != BB_CTL_OK)
        return code;
    code = command->run(&options, argv + optind + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        bb_ctl_complain("standard output: %s", strerror(errno));
        return BB_CTL_FAILED;
    }
    return code;
}
