/* SPDX-License-Identifier: Apache-2.0
 * bbd, the daemon: devices, signals, start and stop. Settings, sockets and what systemd hears are
 * in bbd/; everything else is src/http.
 *
 * The main thread waits for signals and for word from the start-up thread; SIGTERM and SIGINT stop
 * cleanly, SIGHUP reads the settings again.
 */
#include "bb/bits.h"
#include "bb/err.h"
#include "bb/log.h"
#include "bb/memlimit.h"
#include "bb/notify.h"
#include "bb/startup.h"
#include "bb/text.h"
#include "bb/tls.h"
#include "bbd/geometry.h"
#include "bbd/listeners.h"
#include "bbd/service.h"
#include "bbd/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_MAX 32
#define HOST_SIZE 128
#define CLAIM_WAIT_MS 10000u
#define WORKERS_DEFAULT_MAX 8u
#define TLS_CONNECTIONS_MIN 16u
#define CANCEL_WAIT_MS 5000

struct daemon {
    int argc;
    char **argv;
    struct bbd_settings settings;
    const char *run_dir;
    struct bbd_listeners listeners;
    char host_names[HOST_MAX][HOST_SIZE];
    const char *hosts[HOST_MAX];
    unsigned host_count;
    struct bb_device data, index;
    struct bb_server *server;
    struct bb_startup *startup;
    pthread_t startup_thread;
    int startup_result;
    int wake_fd; /* eventfd: start-up has ended, or something is fatal */
    _Atomic bool started, fatal;
    bool joined;     /* the start-up thread */
    bool owes_ready; /* a reload before that: systemd waits for its end */
};

static char sigbus_text[512];
static size_t sigbus_len;

/* ---- settings ---- */

static uint64_t number(const struct daemon *daemon, enum bb_option_id id)
{
    return bb_config_number(&daemon->settings.config, id);
}

static const char *text(const struct daemon *daemon, enum bb_option_id id)
{
    return bb_config_text(&daemon->settings.config, id);
}

/* Names are compared in lower case. */
static void list_hosts(struct daemon *daemon)
{
    const char *cursor = text(daemon, BB_OPTION_HOST);
    while (daemon->host_count < HOST_MAX &&
           bb_config_next(&cursor, daemon->host_names[daemon->host_count], HOST_SIZE)) {
        char *name = daemon->host_names[daemon->host_count];
        for (char *at = name; *at != '\0'; at++)
            if (*at >= 'A' && *at <= 'Z')
                *at = (char)(*at - 'A' + 'a');
        daemon->hosts[daemon->host_count++] = name;
    }
}

/* Ends the program when the settings are wrong, or were only to be checked. */
static void take_settings(struct daemon *daemon, int argc, char **argv)
{
    char sentence[BB_CONFIG_SENTENCE_MAX];
    daemon->argc = argc;
    daemon->argv = argv;
    if (!bbd_settings_make(argc, argv, &daemon->settings, sentence) ||
        !bbd_settings_open_tls(&daemon->settings, true, sentence)) {
        bb_log(BB_LOG_ERROR, "%s", sentence);
        if (getenv("JOURNAL_STREAM") == NULL)
            (void)fputs("Try bbd --help.\n", stderr);
        exit(BB_EXIT_USAGE);
    }
    if (daemon->settings.check_only) {
        bb_config_print(&daemon->settings.config, stdout);
        if (daemon->settings.with_tokens)
            (void)printf("# %u tokens\n", daemon->settings.tokens.count);
        exit(BB_EXIT_OK);
    }
    bb_log_set_level(bbd_settings_log_level(&daemon->settings));
    list_hosts(daemon);
}

/* All or nothing: with anything wrong the old settings stay. */
static void reload(struct daemon *daemon)
{
    static struct bbd_settings fresh;
    char sentence[BB_CONFIG_SENTENCE_MAX];
    bbd_notify_reloading();
    bool ok = bbd_settings_make(daemon->argc, daemon->argv, &fresh, sentence);
    if (ok) {
        bbd_settings_keep(&fresh, &daemon->settings);
        ok = bb_config_check(&fresh.config, sentence) &&
             bbd_settings_open_tls(&fresh, false, sentence);
    }
    if (ok) {
        ok = bb_server_reload(daemon->server, &fresh.config,
                              fresh.with_tokens ? &fresh.tokens : NULL, fresh.tls);
        if (!ok) {
            bb_tls_context_close(fresh.tls);
            (void)snprintf(sentence, sizeof(sentence), "a thread does not turn, try again");
        }
    }
    if (ok) {
        daemon->settings = fresh;
        bb_log_set_level(bbd_settings_log_level(&daemon->settings));
        bb_log(BB_LOG_INFO, "reloaded");
        bbd_settings_log(&daemon->settings);
    } else {
        bb_log(BB_LOG_ERROR, "not reloaded, everything stays as it was: %s", sentence);
    }
    if (daemon->joined)
        bbd_notify_ready(daemon->server);
    else
        daemon->owes_ready = true; /* start-up may have said it just now, before this reload */
}

static unsigned cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return (unsigned)bb_max_u64((uint64_t)CPU_COUNT(&set), 1);
}

static uint64_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* ---- preparation ---- */

static void say(const char *sentence)
{
    bb_log(BB_LOG_WARNING, "%s", sentence);
}

static int open_device(const struct daemon *daemon, enum bb_option_id id,
                       struct bb_device *ret_device)
{
    const char *path = text(daemon, id);
    bool read_only = number(daemon, BB_OPTION_READ_ONLY) != 0;
    int error = bb_device_open(path, read_only ? BB_DEVICE_CLAIMED : BB_DEVICE_EXCLUSIVE,
                               CLAIM_WAIT_MS, say, ret_device);
    if (error == BB_ERR_HELD)
        bb_log(BB_LOG_ERROR, "%s: held by another program for %u s, stop that first", path,
               CLAIM_WAIT_MS / 1000);
    else if (error == -EROFS)
        bb_log(BB_LOG_ERROR, "%s: %s, make it writable, or serve reads from it with --read-only",
               path, bb_err_text(error));
    else if (error != 0)
        bb_log(BB_LOG_ERROR, "%s: %s, check path and rights", path, bb_err_text(error));
    return error;
}

/* Looked at before it is claimed: of the same device twice the second claim would only wait. */
static bool index_is_data(const struct daemon *daemon)
{
    struct bb_device index;
    if (bb_device_open(text(daemon, BB_OPTION_INDEX), BB_DEVICE_READ, 0, NULL, &index) != 0)
        return false; /* the claim says why */
    bool overlap = bb_device_overlap(&daemon->data, &index);
    bb_device_close(&index);
    return overlap;
}

static int open_devices(struct daemon *daemon)
{
    int error = open_device(daemon, BB_OPTION_DATA, &daemon->data);
    if (error == 0 && index_is_data(daemon)) {
        bb_log(BB_LOG_ERROR, "%s and %s overlap, give two devices", text(daemon, BB_OPTION_DATA),
               text(daemon, BB_OPTION_INDEX));
        error = BB_ERR_REFUSED;
    }
    if (error == 0)
        error = open_device(daemon, BB_OPTION_INDEX, &daemon->index);
    return error;
}

static unsigned tls_connections(const struct daemon *daemon, const struct bb_budget_need *need)
{
    uint64_t count = number(daemon, BB_OPTION_TLS_CONNECTIONS);
    if (count == 0)
        count = bb_max_u64(need->memory / 8 / BB_TLS_COST, TLS_CONNECTIONS_MIN);
    return (unsigned)bb_min_u64(count, need->connections);
}

static int make_budget(const struct daemon *daemon, struct bb_budget *ret_budget)
{
    char sentence[256];
    unsigned cpus = cpu_count();
    struct bb_budget_need need = {
        .memory = number(daemon, BB_OPTION_MEMORY),
        .buddy = bbd_buddy_memory(&daemon->data),
        .workers = (unsigned)number(daemon, BB_OPTION_WORKERS),
        .connections = (unsigned)number(daemon, BB_OPTION_CONNECTIONS),
        .tls_cost = BB_TLS_COST,
        .connection_cost = sizeof(struct bb_conn) + BB_HTTP_HEAD_MAX + 512, /* hashing context */
    };
    uint64_t limit = bb_memlimit_find("");
    if (limit != UINT64_MAX)
        need.limit = limit;
    if (need.memory == 0)
        need.memory = bb_budget_default_memory(bb_min_u64(machine_memory(), limit));
    if (need.workers == 0)
        need.workers = (unsigned)bb_min_u64(cpus, WORKERS_DEFAULT_MAX);
    if (daemon->settings.tls != NULL)
        need.tls_connections = tls_connections(daemon, &need);
    int error = bb_budget_make(&need, ret_budget, sentence, sizeof(sentence));
    if (error != 0)
        bb_log(BB_LOG_ERROR, "%s", sentence);
    return error;
}

/* A descriptor per connection; a refusal (a sandbox) only lowers what can be accepted. */
static void raise_descriptors(unsigned connections)
{
    struct rlimit limit;
    rlim_t wanted = connections + 256;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        bb_log(BB_LOG_WARNING, "only %llu descriptors allowed, fewer connections can be served",
               (unsigned long long)limit.rlim_cur);
}

static int choose_run_dir(struct daemon *daemon)
{
    daemon->run_dir = text(daemon, BB_OPTION_RUN_DIR);
    if (daemon->run_dir == NULL)
        daemon->run_dir = getenv("RUNTIME_DIRECTORY");
    if (daemon->run_dir == NULL)
        daemon->run_dir = "/run/buddy-blocks";
    if (mkdir(daemon->run_dir, 0700) == 0 || errno == EEXIST)
        return 0;
    int error = -errno;
    bb_log(BB_LOG_ERROR, "cannot make %s: %s, name another with --run-dir", daemon->run_dir,
           bb_err_text(error));
    return error;
}

/* ---- signals ---- */

static void on_sigbus(int number)
{
    (void)number;
    if (write(STDERR_FILENO, sigbus_text, sigbus_len) < 0)
        _exit(BB_EXIT_IO);
    _exit(BB_EXIT_IO);
}

static void catch_sigbus(const char *path)
{
    int len = snprintf(sigbus_text, sizeof(sigbus_text),
                       "bbd: %s: I/O error under the map of the index device; check the device, "
                       "or rebuild the index onto another with bbfsck --rebuild\n",
                       path);
    sigbus_len = (size_t)bb_min_u64((uint64_t)len, sizeof(sigbus_text) - 1);
    struct sigaction action = {.sa_handler = on_sigbus};
    BB_ASSERT(sigaction(SIGBUS, &action, NULL) == 0);
}

/* Blocked before any thread starts, so that all inherit it. */
static int open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    BB_ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    BB_ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* ---- running ---- */

static void wake(struct daemon *daemon)
{
    const uint64_t one = 1;
    ssize_t written = write(daemon->wake_fd, &one, sizeof(one));
    BB_ASSERT(written == (ssize_t)sizeof(one));
}

static void on_fatal(void *context)
{
    struct daemon *daemon = context;
    atomic_store(&daemon->fatal, true);
    wake(daemon);
}

static void *startup_main(void *argument)
{
    struct daemon *daemon = argument;
    (void)pthread_setname_np(pthread_self(), "bb-startup");
    daemon->startup_result = bb_startup_run(daemon->startup);
    atomic_store(&daemon->started, true);
    wake(daemon);
    return NULL;
}

static void log_shape(const struct daemon *daemon, const struct bb_budget *budget, bool inlined)
{
    char memory[32];
    char io[32];
    bb_log(BB_LOG_INFO,
           "start version=%s data=%s index=%s workers=%u controller=%s memory=\"%s\" io=\"%s\" "
           "connections=%u",
           BB_VERSION, daemon->data.path, daemon->index.path, budget->workers,
           inlined ? "worker-0" : "thread", bb_text_of_size(budget->memory, memory, sizeof(memory)),
           bb_text_of_size((uint64_t)budget->workers * budget->io_per_worker, io, sizeof(io)),
           budget->connections);
    if (!bb_server_shared(daemon->server)->buffers_registered)
        bb_log(BB_LOG_WARNING, "the kernel does not take the I/O buffers (RLIMIT_MEMLOCK); every "
                               "transfer costs more; raise LimitMEMLOCK");
}

static int cannot_start(int error, const char *reason)
{
    const char *cure = bb_err_cure(error);
    if (reason == NULL)
        reason = bb_err_text(error);
    bb_log(BB_LOG_ERROR, "cannot start: %s%s%s", reason, cure != NULL ? "; " : "",
           cure != NULL ? cure : "");
    return error;
}

/* A second at least: a store at rest has no faster timers. */
static uint64_t trim_idle_ms(const struct daemon *daemon)
{
    uint64_t wanted = number(daemon, BB_OPTION_TRIM_IDLE);
    return wanted == 0 ? 0 : bb_max_u64(wanted, 1000);
}

static int start(struct daemon *daemon, const struct bb_budget *budget)
{
    const char *reason = NULL;
    struct bb_server_config server = {
        .data = &daemon->data,
        .index = &daemon->index,
        .budget = *budget,
        .controller_inline = cpu_count() <= 2,
        .only_6_1 = daemon->settings.only_6_1,
        .settings = &daemon->settings.config,
        .tokens = daemon->settings.with_tokens ? &daemon->settings.tokens : NULL,
        .tls = daemon->settings.tls,
        .auth_none = number(daemon, BB_OPTION_AUTH) == 1,
        .hosts = daemon->hosts,
        .host_count = daemon->host_count,
        .listeners = daemon->listeners.at,
        .listener_count = daemon->listeners.count,
        .on_fatal = on_fatal,
        .context = daemon,
    };
    int error = bb_server_start(&server, &daemon->server, &reason);
    if (error != 0)
        return cannot_start(error, reason);
    log_shape(daemon, budget, server.controller_inline);
    struct bb_startup_config startup = {
        .server = daemon->server,
        .data = &daemon->data,
        .index = &daemon->index,
        .runtime_dir = daemon->run_dir,
        .store = daemon->settings.config.store[0] != '\0' ? daemon->settings.config.store : NULL,
        .budget = *budget,
        .scrub = {.days = (uint32_t)number(daemon, BB_OPTION_SCRUB_DAYS),
                  .rate = number(daemon, BB_OPTION_SCRUB_RATE),
                  .share = (uint32_t)number(daemon, BB_OPTION_SCRUB_SHARE)},
        .read_only = number(daemon, BB_OPTION_READ_ONLY) != 0,
        .trim_idle_ms = trim_idle_ms(daemon),
    };
    error = bb_startup_open(&startup, &daemon->startup);
    if (error == 0)
        error = -pthread_create(&daemon->startup_thread, NULL, startup_main, daemon);
    return error == 0 ? 0 : cannot_start(error, NULL);
}

/* Fetches one signal; true for one that asks to stop. */
static bool take_signal(struct daemon *daemon, int signal_fd)
{
    struct signalfd_siginfo info;
    ssize_t got = read(signal_fd, &info, sizeof(info));
    BB_ASSERT(got == (ssize_t)sizeof(info));
    if (info.ssi_signo != SIGHUP)
        return true;
    reload(daemon);
    return false;
}

/* What has happened to start-up: 0, or its error. */
static int look_at_startup(struct daemon *daemon)
{
    if (!atomic_load(&daemon->started) || daemon->joined)
        return 0;
    daemon->joined = true;
    BB_ASSERT(pthread_join(daemon->startup_thread, NULL) == 0);
    if (daemon->owes_ready && daemon->startup_result == 0)
        bbd_notify_ready(daemon->server);
    return daemon->startup_result;
}

static void drain_wakes(const struct daemon *daemon)
{
    uint64_t count;
    ssize_t got = read(daemon->wake_fd, &count, sizeof(count));
    BB_ASSERT(got == (ssize_t)sizeof(count));
}

/* Returns when a signal came or the process has to end otherwise: 0, or the error. */
static int serve(struct daemon *daemon, int signal_fd)
{
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                           {.fd = daemon->wake_fd, .events = POLLIN}};
    struct bbd_watchdog watchdog;
    bbd_watchdog_init(&watchdog);
    for (;;) {
        if (poll(fds, 2, bbd_watchdog_turn(&watchdog, daemon->server)) < 0) {
            BB_ASSERT(errno == EINTR);
            continue;
        }
        if (atomic_load(&daemon->fatal))
            return BB_ERR_FATAL;
        int error = look_at_startup(daemon);
        if (error != 0)
            return error;
        if (fds[1].revents != 0)
            drain_wakes(daemon);
        if (fds[0].revents != 0 && take_signal(daemon, signal_fd))
            return 0;
    }
}

/* A start that is still going on: it is asked to end at its next step and waited for; a step that
 * takes long is left alone, because recovery is made to be cut anywhere. True when it has ended. */
static bool end_startup(struct daemon *daemon)
{
    struct pollfd fd = {.fd = daemon->wake_fd, .events = POLLIN};
    bb_startup_cancel(daemon->startup);
    while (!atomic_load(&daemon->started)) {
        int ready = poll(&fd, 1, CANCEL_WAIT_MS);
        if (ready == 0)
            return false;
        if (ready > 0)
            drain_wakes(daemon);
    }
    (void)look_at_startup(daemon);
    return true;
}

static int stop(struct daemon *daemon)
{
    bb_notify("STOPPING=1\nSTATUS=stopping");
    bb_log(BB_LOG_INFO, "stopping");
    if (!end_startup(daemon)) {
        bb_log(BB_LOG_INFO, "stopped in the middle of the start");
        bbd_listeners_close(&daemon->listeners);
        _exit(BB_EXIT_OK);
    }
    bb_server_drain(daemon->server);
    bb_server_hang_up(daemon->server);
    bb_control_stop(bb_server_shared(daemon->server)->control);
    if (atomic_load(&daemon->fatal))
        return BB_ERR_FATAL;
    bb_startup_close(daemon->startup);
    bb_server_close(daemon->server);
    bb_log(BB_LOG_INFO, "stopped");
    return 0;
}

static void close_all(struct daemon *daemon, int signal_fd)
{
    bbd_listeners_close(&daemon->listeners);
    bb_device_close(&daemon->index);
    bb_device_close(&daemon->data);
    (void)close(daemon->wake_fd);
    (void)close(signal_fd);
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    struct bb_budget budget;
    bb_log_init("bbd", BB_LOG_INFO);
    int error = bb_hash_init();
    if (error != 0)
        (void)cannot_start(error, "no SHA-256 from OpenSSL");
    take_settings(&daemon, argc, argv);
    bbd_settings_log(&daemon.settings);
    if (error == 0)
        error = choose_run_dir(&daemon);
    if (error == 0)
        error = open_devices(&daemon);
    if (error == 0)
        error = make_budget(&daemon, &budget);
    int signal_fd = -1; /* from here on a signal ends it in order: a socket is a file to remove */
    if (error == 0 && (signal_fd = open_signals()) < 0)
        error = cannot_start(-errno, NULL);
    if (error == 0)
        error = bbd_listeners_open(&daemon.settings.config, daemon.run_dir, &daemon.listeners);
    if (error != 0) {
        bbd_listeners_close(&daemon.listeners);
        return bb_err_exit(error);
    }
    raise_descriptors(budget.connections);
    catch_sigbus(daemon.index.path);
    daemon.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (daemon.wake_fd < 0)
        return bb_err_exit(cannot_start(-errno, NULL));
    error = start(&daemon, &budget);
    if (error == 0)
        error = serve(&daemon, signal_fd);
    if (error == 0)
        error = stop(&daemon);
    if (error == BB_ERR_FATAL)
        bb_server_last_words(daemon.server);
    if (error != 0) { /* threads are still running: nothing more may be torn down */
        bbd_listeners_close(&daemon.listeners);
        _exit(bb_err_exit(error));
    }
    close_all(&daemon, signal_fd);
    return BB_EXIT_OK;
}
