/* SPDX-License-Identifier: Apache-2.0
 * The choke point: every route in every state of tokens, on every kind of listener. What is
 * expected is written down here once more, by route and scope, not taken from the code. */
#include "bb/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HASH "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static const char *const hosts[] = {"store.example"};

enum needed { OPEN, READ, WRITE, DELETE, ADMIN, ANYTHING };

static const struct {
    enum bb_http_method method;
    const char *path;
    enum needed needed;
} routes[] = {
    {BB_HTTP_PUT, "/block", WRITE},
    {BB_HTTP_POST, "/block", WRITE},
    {BB_HTTP_PUT, "/block/" HASH, WRITE},
    {BB_HTTP_GET, "/block/" HASH, READ},
    {BB_HTTP_HEAD, "/block/" HASH, READ},
    {BB_HTTP_DELETE, "/block/" HASH, DELETE},
    {BB_HTTP_GET, "/block/" HASH "/proof", READ},
    {BB_HTTP_HEAD, "/block/" HASH "/proof", READ},
    {BB_HTTP_GET, "/blocks", READ},
    {BB_HTTP_HEAD, "/blocks", READ},
    {BB_HTTP_POST, "/blocks/missing", READ},
    {BB_HTTP_GET, "/livez", OPEN},
    {BB_HTTP_HEAD, "/livez", OPEN},
    {BB_HTTP_GET, "/readyz", OPEN},
    {BB_HTTP_HEAD, "/readyz", OPEN},
    {BB_HTTP_GET, "/", OPEN},
    {BB_HTTP_HEAD, "/", OPEN},
    {BB_HTTP_GET, "/status", READ},
    {BB_HTTP_HEAD, "/status", READ},
    {BB_HTTP_GET, "/status/zones", READ},
    {BB_HTTP_GET, "/status/zones/0", READ},
    {BB_HTTP_HEAD, "/status/zones/0", READ},
    {BB_HTTP_GET, "/metrics", READ},
    {BB_HTTP_HEAD, "/metrics", READ},
    {BB_HTTP_GET, "/config", ADMIN},
    {BB_HTTP_HEAD, "/config", ADMIN},
    /* what is refused anyway needs somebody too */
    {BB_HTTP_GET, "/nowhere", ANYTHING},
    {BB_HTTP_GET, "//", ANYTHING},
    {BB_HTTP_POST, "/", ANYTHING},
    {BB_HTTP_GET, "/status/zones/x", ANYTHING},
    {BB_HTTP_GET, "/block/nonsense", ANYTHING},
    {BB_HTTP_DELETE, "/blocks", ANYTHING},
    {BB_HTTP_PUT, "/livez", ANYTHING},
    {BB_HTTP_PUT, "/config", ANYTHING},
    {BB_HTTP_REFUSED, "/block/" HASH, ANYTHING},
    {BB_HTTP_REFUSED, "*", ANYTHING},
};

/* Tokens that are set up: the word is the token, its scopes are what is expected of it. */
static const struct {
    const char *token;
    const char *scopes;
    unsigned bits; /* 1 << enum needed */
} holders[] = {
    {"reader", "read", 1 << READ},
    {"writer", "write", 1 << WRITE},
    {"deleter", "delete", 1 << DELETE},
    {"boss", "admin", 1 << READ | 1 << WRITE | 1 << DELETE | 1 << ADMIN},
    {"editor", "read,write", 1 << READ | 1 << WRITE},
    {"tidier", "read,delete", 1 << READ | 1 << DELETE},
    {"all", "delete,write,read", 1 << READ | 1 << WRITE | 1 << DELETE},
    {"root", "admin,read", 1 << READ | 1 << WRITE | 1 << DELETE | 1 << ADMIN},
};

static struct bb_tokens tokens;

static int set_up(void **state)
{
    (void)state;
    if (bb_hash_init() != 0)
        return -1;
    for (size_t i = 0; i < COUNT(holders); i++) {
        struct bb_token *token = &tokens.tokens[tokens.count++];
        (void)snprintf(token->name, sizeof(token->name), "name-of-%s", holders[i].token);
        token->scopes = bb_scopes_of(holders[i].scopes);
        bb_hash_of(holders[i].token, strlen(holders[i].token), &token->hash);
    }
    return 0;
}

struct question {
    const char *authorization, *host;
    bool loopback, local, trusted, auth_none, with_tokens, append_only, read_only;
    unsigned minor;
};

static int ask(const struct question *question, size_t route_index, const char **ret_name)
{
    struct bb_gate gate = {.read_only = question->read_only,
                           .auth_none = question->auth_none,
                           .hosts = hosts,
                           .host_count = COUNT(hosts)};
    const char *path = routes[route_index].path;
    const char *host = question->host;
    const char *authorization = question->authorization;
    struct bb_http_request http = {
        .method = routes[route_index].method,
        .minor = question->minor,
        .path = {path, strlen(path)},
        .host = {host, host != NULL ? strlen(host) : 0},
        .authorization = {authorization, authorization != NULL ? strlen(authorization) : 0}};
    const struct bb_visitor visitor = {
        .loopback = question->loopback, .local = question->local, .trusted = question->trusted};
    struct bb_http_refusal refusal = {.status = 0};
    struct bb_http_refusal unused;
    struct bb_route route;
    atomic_store(&gate.append_only, question->append_only);
    atomic_store(&gate.tokens, question->with_tokens ? &tokens : NULL);
    int found = bb_route_find(&http, &route, &unused);
    int status =
        bb_gate_check(&gate, &visitor, &http, found == 0 ? &route : NULL, &refusal, ret_name);
    assert_int_equal(refusal.status, status);
    if (authorization != NULL && strlen(authorization) > 12)
        assert_null(strstr(refusal.text, authorization + 7));
    return status;
}

static void expect(const struct question *question, size_t route, int wanted)
{
    int status = ask(question, route, NULL);
    if (status != wanted)
        fail_msg("%d instead of %d: method %d on %s with %s", status, wanted,
                 (int)routes[route].method, routes[route].path,
                 question->authorization != NULL ? question->authorization : "nothing");
}

static int expected_of(unsigned bits, enum needed needed, bool append_only)
{
    if (needed == DELETE && append_only)
        needed = ADMIN;
    return needed == OPEN || needed == ANYTHING || (bits & 1u << needed) != 0 ? 0 : 403;
}

static void every_route_wants_a_token_that_is_known(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        NULL,
        "",
        "Bearer",
        "Bearer ",
        "Bearer stranger",
        "Bearer reader writer",
        "Bearer rea\"der",
        "Bearer reade",
        "Bearer readerr",
        "reader",
        "Digest reader",
        "Basic cmVhZGVy",         /* reader, without a colon */
        "Basic cmVhZGVyOg==",     /* reader: and an empty password */
        "Basic cmVhZGVyOnVua25v", /* a wrong password */
        "Basic eDpyZWFkZXI",      /* padding is missing */
        "Basic ====",
        "Bearer 3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30", /* a hash */
    };
    for (size_t i = 0; i < COUNT(wrong); i++)
        for (size_t route = 0; route < COUNT(routes); route++)
            for (int kind = 0; kind < 16; kind++) {
                const struct question question = {.authorization = wrong[i],
                                                  .host = "localhost",
                                                  .minor = 1,
                                                  .loopback = (kind & 1) != 0 || (kind & 2) != 0,
                                                  .local = (kind & 2) != 0,
                                                  .auth_none = (kind & 4) != 0,
                                                  .append_only = (kind & 8) != 0,
                                                  .with_tokens = true};
                expect(&question, route, routes[route].needed == OPEN ? 0 : 401);
            }
}

static void every_route_takes_the_scopes_it_needs_and_no_others(void **state)
{
    (void)state;
    char authorization[80];
    for (size_t i = 0; i < COUNT(holders); i++)
        for (size_t route = 0; route < COUNT(routes); route++)
            for (int kind = 0; kind < 4; kind++) {
                const struct question question = {.authorization = authorization,
                                                  .host = "evil.example",
                                                  .minor = 1,
                                                  .loopback = (kind & 1) != 0,
                                                  .append_only = (kind & 2) != 0,
                                                  .with_tokens = true};
                (void)snprintf(authorization, sizeof(authorization), "%s %s",
                               kind == 0 ? "bEaReR" : "Bearer", holders[i].token);
                expect(&question, route,
                       expected_of(holders[i].bits, routes[route].needed, question.append_only));
            }
}

static void the_password_of_basic_is_a_token_whatever_the_user(void **state)
{
    (void)state;
    static const char *const right[] = {
        "Basic eDpyZWFkZXI=", "basic OnJlYWRlcg==", "Basic  eDpyZWFkZXI="};
    for (size_t i = 0; i < COUNT(right); i++) {
        const char *name = NULL;
        const struct question question = {
            .authorization = right[i], .host = "localhost", .minor = 1, .with_tokens = true};
        assert_int_equal(ask(&question, 3, &name), 0);
        assert_string_equal(name, "name-of-reader");
        expect(&question, 0, 403);
    }
}

static void root_on_a_unix_socket_may_everything(void **state)
{
    (void)state;
    for (size_t route = 0; route < COUNT(routes); route++)
        for (int kind = 0; kind < 8; kind++) {
            const struct question question = {.authorization = (kind & 1) != 0 ? "Bearer no" : NULL,
                                              .host = "evil.example",
                                              .minor = 1,
                                              .loopback = true,
                                              .local = true,
                                              .trusted = true,
                                              .append_only = (kind & 2) != 0,
                                              .with_tokens = (kind & 4) != 0};
            expect(&question, route, 0);
        }
}

static void without_tokens_nobody_is_admin(void **state)
{
    (void)state;
    const unsigned bits = 1 << READ | 1 << WRITE | 1 << DELETE;
    for (size_t route = 0; route < COUNT(routes); route++)
        for (int kind = 1; kind < 16; kind++) {
            const struct question question = {.authorization =
                                                  (kind & 1) != 0 ? "Bearer boss" : NULL,
                                              .host = "localhost",
                                              .minor = 1,
                                              .loopback = (kind & 2) != 0,
                                              .local = (kind & 10) == 10,
                                              .auth_none = (kind & 4) != 0,
                                              .append_only = (kind & 8) != 0};
            if (!question.loopback && !question.auth_none)
                expect(&question, route, 403); /* health too: nobody was let in on this port */
            else
                expect(&question, route,
                       expected_of(bits, routes[route].needed, question.append_only));
        }
}

static void a_foreign_name_is_misdirected_where_there_are_no_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        unsigned minor;
        int status;
    } cases[] = {
        {"evil.example", 1, 421},   {"evil.example", 0, 421}, {"", 1, 421}, {"localhost", 1, 0},
        {"store.example:80", 1, 0}, {"10.0.0.7", 1, 0},       {NULL, 0, 0}};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int kind = 1; kind < 4; kind++) {
            struct question question = {.host = cases[i].host,
                                        .minor = cases[i].minor,
                                        .loopback = (kind & 1) != 0,
                                        .auth_none = (kind & 2) != 0};
            expect(&question, 3, cases[i].status);
            expect(&question, 11, cases[i].status);
            question.loopback = question.local = true; /* no browser gets there */
            expect(&question, 3, 0);
        }
}

/* A question is one whatever its method; who may do nothing is not told. */
static void a_server_that_only_reads_refuses_all_the_rest_to_everybody(void **state)
{
    (void)state;
    for (size_t route = 0; route < COUNT(routes); route++) {
        const char *path = routes[route].path;
        bool question_only = strcmp(path, "/blocks/missing") == 0;
        bool reads = routes[route].method == BB_HTTP_GET || routes[route].method == BB_HTTP_HEAD ||
                     question_only || routes[route].needed == ANYTHING; /* refused elsewhere */
        struct question question = {
            .host = "localhost", .minor = 1, .local = true, .trusted = true, .read_only = true};
        question.loopback = true;
        expect(&question, route, reads ? 0 : 403);
        question.trusted = question.local = false;
        question.with_tokens = true;
        expect(&question, route, routes[route].needed == OPEN ? 0 : 401);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_wants_a_token_that_is_known),
        cmocka_unit_test(every_route_takes_the_scopes_it_needs_and_no_others),
        cmocka_unit_test(the_password_of_basic_is_a_token_whatever_the_user),
        cmocka_unit_test(root_on_a_unix_socket_may_everything),
        cmocka_unit_test(without_tokens_nobody_is_admin),
        cmocka_unit_test(a_foreign_name_is_misdirected_where_there_are_no_tokens),
        cmocka_unit_test(a_server_that_only_reads_refuses_all_the_rest_to_everybody),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
