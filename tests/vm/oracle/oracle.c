/* SPDX-License-Identifier: Apache-2.0
 * oracle: loads a store while its devices lose power, and knows what it must still have afterwards.
 * Runs inside the virtual machine; the scripts in ../guest drive it.
 */
#include "client.h"
#include "fire.h"
#include "load.h"
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXIT_USAGE 2

static const char usage_text[] =
    "usage: oracle make LEDGER SEED          a new ledger, for an empty store\n"
    "       oracle ready PID SECONDS         waits until the store takes writes;\n"
    "                                        1: the process ended, 3: time is up\n"
    "       oracle gone PID SECONDS          waits until the process ended; 3: time is up\n"
    "       oracle load LEDGER OPERATIONS [--kill PID] [PATH=VALUE]...\n"
    "                                        after so many acknowledgements kills and writes,\n"
    "                                        all at once; 0: until the store ends by itself;\n"
    "                                        1: wrong answers, 3: it did not end, 4: too early\n"
    "       oracle fire [--kill PID] [PATH=VALUE]...   the same now, without load\n"
    "       oracle verify LEDGER             1: something is lost\n";

/* Whether the process runs; its parent may not have waited for it yet. */
static bool runs(const char *pid)
{
    char path[64], state = 'Z';
    (void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    (void)fclose(file);
    return state != 'Z' && state != 'X';
}

static int wait_ready(const char *pid, unsigned seconds)
{
    static struct client client;
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    time_t until = time(NULL) + (time_t)seconds;
    client_init(&client);
    while (time(NULL) < until) {
        if (client_request(&client, "GET", "/readyz", NULL, 0) == 200)
            return 0;
        if (!runs(pid))
            return 1;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return 3;
}

static int wait_gone(const char *pid, unsigned seconds)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    time_t until = time(NULL) + (time_t)seconds;
    while (runs(pid)) {
        if (time(NULL) >= until)
            return 3;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    if (strcmp(verb, "make") == 0 && argc == 4) {
        ledger_make(argv[2], strtoull(argv[3], NULL, 10));
        return EXIT_SUCCESS;
    }
    if (strcmp(verb, "ready") == 0 && argc == 4)
        return wait_ready(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    if (strcmp(verb, "gone") == 0 && argc == 4)
        return wait_gone(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    if (strcmp(verb, "load") == 0 && argc >= 4) {
        fire_arm(argv + 4, argc - 4);
        return (int)load_run(ledger_open(argv[2]), strtoull(argv[3], NULL, 10));
    }
    if (strcmp(verb, "fire") == 0) {
        fire_arm(argv + 2, argc - 2);
        fire_now();
        fire_wait();
        return EXIT_SUCCESS;
    }
    if (strcmp(verb, "verify") == 0 && argc == 3)
        return verify_run(ledger_open(argv[2])) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    (void)fputs(usage_text, stderr);
    return EXIT_USAGE;
}
