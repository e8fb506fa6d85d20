/* SPDX-License-Identifier: Apache-2.0
 * The commands of bbctl and what they share. Each prints what was asked for on standard output, a
 * table for people or one JSON object with --json, and complaints on standard error; it returns the
 * exit code of the program.
 */
#ifndef BB_CTL_COMMAND_H
#define BB_CTL_COMMAND_H

#include "bbctl/client.h"

#include <stdbool.h>
#include <stdint.h>

#define BB_CTL_SOCKET "/run/buddy-blocks/bbd.sock"

/* Exit codes of bbctl. */
enum bb_ctl_exit {
    BB_CTL_OK = 0,
    BB_CTL_FAILED = 1,   /* no daemon there, or an error of its own */
    BB_CTL_USAGE = 2,    /* wrong usage */
    BB_CTL_DEGRADED = 3, /* status, copy: not ready, or reads only; verify, copy: corrupt bytes */
    BB_CTL_ABSENT = 4,   /* verify: not stored; probe: no device of Buddy Blocks */
    BB_CTL_DENIED = 5,   /* the token, or the lack of one, does not allow it */
    BB_CTL_FULL = 6,     /* copy: the target has no room */
};

struct bb_ctl_options {
    const char *socket, *url, *token_file; /* url NULL: by the socket */
    const char *certificate, *key;         /* for https servers that want one; NULL: none */
    const char *ca;                        /* for https; NULL: the system's authorities */
    bool json;
    const char *after;                   /* list, copy: NULL from the start */
    uint64_t limit;                      /* list: 0 for all */
    bool udev;                           /* probe: lines for udev */
    const char *scopes, *name;           /* token new */
    const char *from_token, *to_token;   /* copy: files, NULL for none */
    uint64_t connections, rate;          /* copy; rate 0 for no limit */
    bool verify, remove, dry_run, force; /* copy */
};

/* Opens a connection to the daemon; BB_CTL_OK or the complaint was said. */
int bb_ctl_connect(const struct bb_ctl_options *options, struct bb_ctl_client *ret_client);
/* Says what a reply that is no success means, and returns the exit code for it. */
int bb_ctl_refused(const struct bb_ctl_reply *reply);

struct json_t;
/* The JSON object at a target; BB_CTL_OK, or the complaint was said. */
int bb_ctl_object(const struct bb_ctl_options *options, const char *target,
                  struct json_t **ret_object);
/* One object of /status, as "scrub"; BB_CTL_OK, or the complaint was said, as that the daemon does
 * not have it yet. */
int bb_ctl_section(const struct bb_ctl_options *options, const char *name,
                   struct json_t **ret_section);
/* A POST without a body; BB_CTL_OK, or the complaint was said. */
int bb_ctl_post(const struct bb_ctl_options *options, const char *target);

int bb_ctl_status(const struct bb_ctl_options *options, char **words);
int bb_ctl_space(const struct bb_ctl_options *options, char **words);
int bb_ctl_config(const struct bb_ctl_options *options, char **words);
int bb_ctl_list(const struct bb_ctl_options *options, char **words);
int bb_ctl_verify(const struct bb_ctl_options *options, char **words);
int bb_ctl_trim(const struct bb_ctl_options *options, char **words);
int bb_ctl_copy(const struct bb_ctl_options *options, char **words);
int bb_ctl_scrub(const struct bb_ctl_options *options, char **words);
int bb_ctl_probe(const struct bb_ctl_options *options, char **words);
int bb_ctl_token(const struct bb_ctl_options *options, char **words);

/* A complaint, with the name of the program in front and a newline behind. */
void bb_ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
