/* SPDX-License-Identifier: Apache-2.0
 * bbd, the daemon: options, devices, listeners, signals. Everything else is src/http.
 *
 * The main thread waits for signals and for word from the start-up thread; SIGTERM and SIGINT stop
 * cleanly. A stop during recovery just ends: recovery can be cut anywhere.
 */
#include "bb/bits.h"
#include "bb/buddy.h"
#include "bb/err.h"
#include "bb/layout.h"
#include "bb/log.h"
#include "bb/notify.h"
#include "bb/startup.h"
#include "bb/text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_MAX 32
#define CLAIM_WAIT_MS 10000u
#define WORKERS_DEFAULT_MAX 8u
#define CONNECTIONS_DEFAULT 1024u

struct options {
    const char *data, *index, *run_dir;
    struct bb_listener listeners[BB_LISTENER_MAX];
    unsigned listener_count;
    bool listen_default;
    unsigned workers;
    unsigned connections;
    uint64_t memory;
    bool auth_none;
    bool only_6_1;
    char *hosts[HOST_MAX];
    unsigned host_count;
};

struct daemon {
    struct options options;
    struct bb_device data, index;
    struct bb_server *server;
    struct bb_startup *startup;
    pthread_t startup_thread;
    int startup_result;
    int wake_fd; /* eventfd: start-up has ended, or something is fatal */
    _Atomic bool started, fatal;
};

static char sigbus_text[512];
static size_t sigbus_len;

static const char usage_text[] =
    "usage: bbd --data DATA --index INDEX [options]\n"
    "\n"
    "  --data DATA           data device, formatted by bbformat\n"
    "  --index INDEX         index device\n"
    "  --listen ADDR:PORT    address to serve, may be repeated; 127.0.0.1:10001 and [::1]:10001\n"
    "  --workers N           threads that serve connections; one per CPU, at most 8\n"
    "  --memory SIZE         memory in all; 1/16 of the machine's, 24M to 256M\n"
    "  --connections N       connections at a time; 1024\n"
    "  --auth none           everybody who reaches the port may do everything; needed for any\n"
    "                        address that is not loopback\n"
    "  --host NAME           further name that this server is reached by, may be repeated\n"
    "  --run-dir DIR         for the index's lock file; $RUNTIME_DIRECTORY or /run/buddy-blocks\n"
    "  --version, --help\n";

_Noreturn static void usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn static void usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("bbd: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputs("\nTry bbd --help.\n", stderr);
    va_end(arguments);
    exit(BB_EXIT_USAGE);
}

/* ---- options ---- */

static unsigned parse_count(const char *name, const char *text, uint64_t max)
{
    uint64_t value;
    if (!bb_text_to_u64(text, &value) || value < 1 || value > max)
        usage("%s: %s is not a number from 1 to %llu", name, text, (unsigned long long)max);
    return (unsigned)value;
}

static void add_listener(struct options *options, const char *text)
{
    if (options->listener_count == BB_LISTENER_MAX)
        usage("--listen: more than %d addresses", BB_LISTENER_MAX);
    if (!bb_listener_parse(text, &options->listeners[options->listener_count]))
        usage("--listen: %s is not ADDR:PORT with a numeric address, like 127.0.0.1:10001 or "
              "[::1]:10001",
              text);
    options->listener_count++;
}

static void add_host(struct options *options, const char *text)
{
    if (options->host_count == HOST_MAX)
        usage("--host: more than %d names", HOST_MAX);
    char *name = strdup(text);
    if (name == NULL || text[0] == '\0')
        usage("--host: a name is missing");
    for (char *at = name; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    options->hosts[options->host_count++] = name;
}

static void take_option(struct options *options, int option)
{
    switch (option) {
    case 'd':
        options->data = optarg;
        break;
    case 'i':
        options->index = optarg;
        break;
    case 'l':
        add_listener(options, optarg);
        break;
    case 'w':
        options->workers = parse_count("--workers", optarg, BB_WORKER_MAX);
        break;
    case 'm':
        if (!bb_text_to_size(optarg, &options->memory) || options->memory < BB_MEMORY_MIN)
            usage("--memory: %s is not a size of at least 24M", optarg);
        break;
    case 'a':
        if (strcmp(optarg, "none") != 0)
            usage("--auth: %s is not known, only none is", optarg);
        options->auth_none = true;
        break;
    case 'h':
        add_host(options, optarg);
        break;
    case 'c':
        options->connections = parse_count("--connections", optarg, 1000000);
        break;
    case 'r':
        options->run_dir = optarg;
        break;
    case '6':
        options->only_6_1 = true;
        break;
    case 'V':
        (void)puts("bbd " BB_VERSION);
        exit(BB_EXIT_OK);
    case 'H':
        (void)fputs(usage_text, stdout);
        exit(BB_EXIT_OK);
    default:
        usage("that is not an option");
    }
}

static void check_options(struct options *options)
{
    if (options->data == NULL || options->index == NULL)
        usage("--data and --index are needed");
    options->listen_default = options->listener_count == 0;
    if (options->listen_default) {
        add_listener(options, "127.0.0.1:10001");
        add_listener(options, "[::1]:10001");
    }
    for (unsigned i = 0; i < options->listener_count; i++)
        if (!options->listeners[i].loopback && !options->auth_none)
            usage("--listen: %s is not loopback and there are no tokens yet; say --auth none if "
                  "everybody who reaches it may read, write and delete",
                  options->listeners[i].name);
}

static void parse_options(int argc, char **argv, struct options *options)
{
    static const struct option table[] = {
        {"data", required_argument, NULL, 'd'},
        {"index", required_argument, NULL, 'i'},
        {"listen", required_argument, NULL, 'l'},
        {"workers", required_argument, NULL, 'w'},
        {"memory", required_argument, NULL, 'm'},
        {"auth", required_argument, NULL, 'a'},
        {"host", required_argument, NULL, 'h'},
        {"connections", required_argument, NULL, 'c'},
        {"run-dir", required_argument, NULL, 'r'},
        {"only-6-1", no_argument, NULL, '6'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'H'},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == '?' || option == ':')
            usage("%s: not an option, or its value is missing", argv[optind - 1]);
        take_option(options, option);
    }
    if (optind < argc)
        usage("%s: nothing is expected there", argv[optind]);
    check_options(options);
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

static int open_device(const char *path, struct bb_device *ret_device)
{
    int error = bb_device_open(path, BB_DEVICE_EXCLUSIVE, CLAIM_WAIT_MS, say, ret_device);
    if (error == BB_ERR_HELD)
        bb_log(BB_LOG_ERROR, "%s: held by another program for %u s, stop that first", path,
               CLAIM_WAIT_MS / 1000);
    else if (error != 0)
        bb_log(BB_LOG_ERROR, "%s: %s", path, bb_err_text(error));
    return error;
}

/* Looked at before it is claimed: of the same device twice the second claim would only wait. */
static bool index_is_data(const struct daemon *daemon)
{
    struct bb_device index;
    if (bb_device_open(daemon->options.index, BB_DEVICE_READ, 0, NULL, &index) != 0)
        return false; /* the claim says why */
    bool overlap = bb_device_overlap(&daemon->data, &index);
    bb_device_close(&index);
    return overlap;
}

static int open_devices(struct daemon *daemon)
{
    int error = open_device(daemon->options.data, &daemon->data);
    if (error == 0 && index_is_data(daemon)) {
        bb_log(BB_LOG_ERROR, "%s and %s overlap, give two devices", daemon->options.data,
               daemon->options.index);
        error = BB_ERR_REFUSED;
    }
    if (error == 0)
        error = open_device(daemon->options.index, &daemon->index);
    return error;
}

static int open_listeners(struct options *options)
{
    unsigned open = 0;
    for (unsigned i = 0; i < options->listener_count; i++) {
        struct bb_listener *listener = &options->listeners[i];
        int error = bb_listener_open(listener);
        bool no_such_family = error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
        if (error != 0 && options->listen_default && no_such_family) {
            bb_log(BB_LOG_INFO, "not listening on %s: %s", listener->name, bb_err_text(error));
            continue;
        }
        if (error != 0) {
            bb_log(BB_LOG_ERROR, "cannot listen on %s: %s", listener->name, bb_err_text(error));
            return error;
        }
        bb_log(BB_LOG_INFO, "listening on %s", listener->name);
        open++;
    }
    return open > 0 ? 0 : -EADDRNOTAVAIL;
}

/* The map of free space for a device of this size; the real geometry is only known later. */
static size_t buddy_memory(const struct bb_device *data)
{
    struct bb_layout layout;
    if (bb_layout_make(data->size, bb_layout_journal_size(data->size), BB_ZONE_SIZE_DEFAULT,
                       &layout) != 0)
        return 0;
    return bb_buddy_memory(layout.zone_count, bb_layout_zone(&layout, 0).unit_count);
}

static int make_budget(const struct daemon *daemon, struct bb_budget *ret_budget)
{
    const struct options *options = &daemon->options;
    char sentence[256];
    unsigned cpus = cpu_count();
    struct bb_budget_need need = {
        .memory = options->memory,
        .buddy = buddy_memory(&daemon->data),
        .workers = options->workers,
        .connections = options->connections > 0 ? options->connections : CONNECTIONS_DEFAULT,
        .connection_cost = sizeof(struct bb_conn) + 512, /* and its hashing context */
    };
    if (need.memory == 0)
        need.memory = bb_budget_default_memory(machine_memory());
    if (need.workers == 0)
        need.workers = (unsigned)bb_min_u64(cpus, WORKERS_DEFAULT_MAX);
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

static int choose_run_dir(struct options *options)
{
    if (options->run_dir == NULL)
        options->run_dir = getenv("RUNTIME_DIRECTORY");
    if (options->run_dir == NULL)
        options->run_dir = "/run/buddy-blocks";
    if (mkdir(options->run_dir, 0700) == 0 || errno == EEXIST)
        return 0;
    int error = -errno;
    bb_log(BB_LOG_ERROR, "cannot make %s: %s, name another with --run-dir", options->run_dir,
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
           "version %s, data %s, index %s, %u workers, controller %s, memory %s (%s I/O), "
           "%u connections",
           BB_VERSION, daemon->data.path, daemon->index.path, budget->workers,
           inlined ? "in worker 0" : "in its own thread",
           bb_text_of_size(budget->memory, memory, sizeof(memory)),
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

static int start(struct daemon *daemon, const struct bb_budget *budget)
{
    const struct options *options = &daemon->options;
    const char *reason = NULL;
    struct bb_server_config server = {
        .data = &daemon->data,
        .index = &daemon->index,
        .budget = *budget,
        .controller_inline = cpu_count() <= 2,
        .only_6_1 = options->only_6_1,
        .auth_none = options->auth_none,
        .hosts = (const char *const *)options->hosts,
        .host_count = options->host_count,
        .listeners = daemon->options.listeners,
        .listener_count = options->listener_count,
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
        .runtime_dir = options->run_dir,
        .budget = *budget,
    };
    error = bb_startup_open(&startup, &daemon->startup);
    if (error == 0)
        error = -pthread_create(&daemon->startup_thread, NULL, startup_main, daemon);
    return error == 0 ? 0 : cannot_start(error, NULL);
}

/* Returns when a signal came or the process has to end otherwise: 0, or the error. */
static int serve(struct daemon *daemon, int signal_fd)
{
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                           {.fd = daemon->wake_fd, .events = POLLIN}};
    bool joined = false;
    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            BB_ASSERT(errno == EINTR);
            continue;
        }
        if (atomic_load(&daemon->fatal))
            return BB_ERR_FATAL;
        if (atomic_load(&daemon->started) && !joined) {
            joined = true;
            BB_ASSERT(pthread_join(daemon->startup_thread, NULL) == 0);
            if (daemon->startup_result != 0)
                return daemon->startup_result;
        }
        if (fds[1].revents != 0) {
            uint64_t count;
            ssize_t got = read(daemon->wake_fd, &count, sizeof(count));
            BB_ASSERT(got == (ssize_t)sizeof(count));
        }
        if (fds[0].revents != 0)
            return 0;
    }
}

static int stop(struct daemon *daemon)
{
    bb_notify("STOPPING=1\nSTATUS=stopping");
    if (!atomic_load(&daemon->started)) {
        bb_log(BB_LOG_INFO, "stopped while starting");
        _exit(BB_EXIT_OK); /* recovery is made to be cut */
    }
    bb_log(BB_LOG_INFO, "stopping");
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
    for (unsigned i = 0; i < daemon->options.listener_count; i++)
        bb_listener_close(&daemon->options.listeners[i]);
    for (unsigned i = 0; i < daemon->options.host_count; i++)
        free(daemon->options.hosts[i]);
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
    parse_options(argc, argv, &daemon.options);
    int error = bb_hash_init();
    if (error != 0)
        (void)cannot_start(error, "no SHA-256 from OpenSSL");
    if (error == 0)
        error = choose_run_dir(&daemon.options);
    if (error == 0)
        error = open_devices(&daemon);
    if (error == 0)
        error = make_budget(&daemon, &budget);
    if (error == 0)
        error = open_listeners(&daemon.options);
    if (error != 0)
        return bb_err_exit(error);
    raise_descriptors(budget.connections);
    catch_sigbus(daemon.index.path);
    int signal_fd = open_signals();
    if (signal_fd >= 0)
        daemon.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (signal_fd < 0 || daemon.wake_fd < 0)
        return bb_err_exit(cannot_start(-errno, NULL));
    error = start(&daemon, &budget);
    if (error == 0)
        error = serve(&daemon, signal_fd);
    if (error == 0)
        error = stop(&daemon);
    if (error == BB_ERR_FATAL)
        bb_server_last_words(daemon.server);
    if (error != 0)
        _exit(bb_err_exit(error)); /* threads are still running: nothing may be torn down */
    close_all(&daemon, signal_fd);
    return BB_EXIT_OK;
}
