/* SPDX-License-Identifier: Apache-2.0
 * The router: every path with every method against a table, and paths that are nearly right. */
#include "bb/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HASH "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { METHOD_COUNT = 6, NO = -1 };

static int find(enum bb_http_method method, const char *path, struct bb_route *ret_route)
{
    struct bb_http_request http = {.method = method, .path = {path, strlen(path)}};
    struct bb_http_refusal refusal = {.status = 0};
    int status = bb_route_find(&http, ret_route, &refusal);
    assert_int_equal(refusal.status, status);
    if (status != 0)
        assert_true(strlen(refusal.text) > 0);
    return status;
}

/* What a server that writes nothing has left of it. */
static const char *reads_of(const struct bb_route *route, const char *path)
{
    if (strcmp(path, "/blocks/missing") == 0)
        return "POST";
    return strstr(route->allow, "GET") != NULL ? "GET, HEAD" : "";
}

static void every_resource_takes_its_methods_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *path, *allow;
        int ops[METHOD_COUNT]; /* by enum bb_http_method; NO: 405 */
        bool named;
    } cases[] = {
        {"/block", "PUT, POST", {NO, NO, BB_ROUTE_PUT, BB_ROUTE_PUT, NO, NO}, false},
        {"/block/" HASH,
         "GET, HEAD, PUT, DELETE",
         {BB_ROUTE_GET, BB_ROUTE_GET, BB_ROUTE_PUT, NO, BB_ROUTE_DELETE, NO},
         true},
        {"/block/" HASH "/proof",
         "GET, HEAD",
         {BB_ROUTE_PROOF, BB_ROUTE_PROOF, NO, NO, NO, NO},
         true},
        {"/blocks", "GET, HEAD", {BB_ROUTE_LIST, BB_ROUTE_LIST, NO, NO, NO, NO}, false},
        {"/blocks/missing", "POST", {NO, NO, NO, BB_ROUTE_MISSING, NO, NO}, false},
        {"/livez", "GET, HEAD", {BB_ROUTE_LIVEZ, BB_ROUTE_LIVEZ, NO, NO, NO, NO}, false},
        {"/readyz", "GET, HEAD", {BB_ROUTE_READYZ, BB_ROUTE_READYZ, NO, NO, NO, NO}, false},
        {"/status", "GET, HEAD", {BB_ROUTE_STATUS, BB_ROUTE_STATUS, NO, NO, NO, NO}, false},
        {"/status/zones", "GET, HEAD", {BB_ROUTE_ZONES, BB_ROUTE_ZONES, NO, NO, NO, NO}, false},
        {"/status/zones/17",
         "GET, HEAD",
         {BB_ROUTE_CHUNKS, BB_ROUTE_CHUNKS, NO, NO, NO, NO},
         false},
        {"/metrics", "GET, HEAD", {BB_ROUTE_METRICS, BB_ROUTE_METRICS, NO, NO, NO, NO}, false},
        {"/config", "GET, HEAD", {BB_ROUTE_CONFIG, BB_ROUTE_CONFIG, NO, NO, NO, NO}, false},
        {"/trim/start", "POST", {NO, NO, NO, BB_ROUTE_TRIM_START, NO, NO}, false},
        {"/trim/stop", "POST", {NO, NO, NO, BB_ROUTE_TRIM_STOP, NO, NO}, false},
        {"/", "GET, HEAD", {BB_ROUTE_PAGE, BB_ROUTE_PAGE, NO, NO, NO, NO}, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int method = 0; method < METHOD_COUNT; method++) {
            struct bb_route route = {.named = false};
            int status = find((enum bb_http_method)method, cases[i].path, &route);
            int op = cases[i].ops[method];
            if (op == NO) {
                assert_int_equal(status, 405);
                assert_string_equal(route.allow, cases[i].allow);
                assert_string_equal(route.allow_reads, reads_of(&route, cases[i].path));
                continue;
            }
            assert_int_equal(status, 0);
            assert_int_equal(route.op, op);
            assert_int_equal(route.named, cases[i].named);
            assert_int_equal(route.takes_body, op == BB_ROUTE_PUT || op == BB_ROUTE_MISSING);
            assert_int_equal(route.writes, method != BB_HTTP_GET && method != BB_HTTP_HEAD &&
                                               op != BB_ROUTE_MISSING);
        }
    }
}

static void the_hash_of_the_path_is_taken_over(void **state)
{
    (void)state;
    struct bb_route route;
    char hex[BB_HASH_HEX_SIZE + 1] = "";
    assert_int_equal(find(BB_HTTP_GET, "/block/" HASH, &route), 0);
    bb_hash_to_hex(&route.hash, hex);
    assert_string_equal(hex, HASH);
    assert_int_equal(find(BB_HTTP_GET, "/block/" HASH "/proof", &route), 0);
    bb_hash_to_hex(&route.hash, hex);
    assert_string_equal(hex, HASH);
}

static void names_that_are_no_hashes_are_400(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/block/",           "/block/x",        "/block/" HASH "0",       "/block/" HASH "/",
        "/block/" HASH "/p", "/block/../livez", "/block/" HASH "/proof/", "/block/%32cf",
    };
    struct bb_route route;
    for (size_t i = 0; i < COUNT(paths); i++)
        for (int method = 0; method < BB_HTTP_REFUSED; method++)
            assert_int_equal(find((enum bb_http_method)method, paths[i], &route), 400);
}

static void the_number_of_a_zone_is_taken_over(void **state)
{
    (void)state;
    struct bb_route route;
    assert_int_equal(find(BB_HTTP_GET, "/status/zones/0", &route), 0);
    assert_int_equal(route.zone, 0);
    assert_int_equal(find(BB_HTTP_GET, "/status/zones/4294967295", &route), 0);
    assert_int_equal(route.zone, UINT32_MAX);
}

static void other_paths_are_404(void **state)
{
    (void)state;
    static const char *const paths[] = {"//",
                                        "",
                                        "/blocks/",
                                        "/blocksmissing",
                                        "/Block",
                                        "/livez/",
                                        "//block",
                                        ("/block" HASH),
                                        "/blocks/missing/",
                                        "*",
                                        "/status/",
                                        "/status/zones/",
                                        "/status/zones/01",
                                        "/status/zones/-1",
                                        "/status/zones/4294967296",
                                        "/status/zones/1x",
                                        "/status/zones/99999999999"};
    struct bb_route route;
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_int_equal(find(BB_HTTP_GET, paths[i], &route), 404);
}

static void refused_methods_are_405_everywhere(void **state)
{
    (void)state;
    struct bb_route route;
    assert_int_equal(find(BB_HTTP_REFUSED, "*", &route), 405);
    assert_string_equal(route.allow, "GET, HEAD, PUT, POST, DELETE");
    assert_int_equal(route.op, BB_ROUTE_NONE);
    assert_int_equal(find(BB_HTTP_REFUSED, "/nothing", &route), 405);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_resource_takes_its_methods_and_no_other),
        cmocka_unit_test(the_hash_of_the_path_is_taken_over),
        cmocka_unit_test(names_that_are_no_hashes_are_400),
        cmocka_unit_test(the_number_of_a_zone_is_taken_over),
        cmocka_unit_test(other_paths_are_404),
        cmocka_unit_test(refused_methods_are_405_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
