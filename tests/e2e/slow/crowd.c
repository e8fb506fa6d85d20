/* SPDX-License-Identifier: Apache-2.0
 * Slow clients by the thousand, for as little of the processor as possible: what they cost is taken
 * from the server and from the good clients beside it.
 *
 *   crowd KIND PORT NAME COUNT SIZE    KIND: crowd, as many slow heads, bodies and readers; or
 *                                      uploads, bodies only
 *
 * Reads "on" and "off" from standard input, ends with it, and prints after each a line: how many
 * were ended by the server since the last one. A client moves a little once a second, and begins
 * again when it was ended; no two of them at the same moment.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KIB 1024u
#define TICKS 500u /* in a second */
#define SECOND_NS 1000000000u
#define READ_MAX (16 * KIB)
#define RECEIVE_BUFFER 4096

enum kind { SLOW_HEAD, SLOW_BODY, SLOW_READER };

struct client {
    enum kind kind;
    unsigned step; /* bytes a second */
    int fd;        /* -1: begins anew */
    size_t sent;
};

/* One text for each kind of request. */
struct request {
    char *text;
    size_t len;
};

static struct client *clients;
static struct request requests[3];
static unsigned count, ended;
static struct sockaddr_in server = {.sin_family = AF_INET};

static bool make_request(enum kind kind, const char *head, size_t body)
{
    size_t head_len = strlen(head);
    requests[kind].len = head_len + body;
    requests[kind].text = calloc(1, head_len + body + 1);
    if (requests[kind].text == NULL)
        return false;
    memset(requests[kind].text, 'x', head_len + body);
    memcpy(requests[kind].text, head, head_len);
    return true;
}

static bool make_requests(const char *name, size_t size)
{
    char text[512];
    if (!make_request(SLOW_HEAD, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Filler: ", 500))
        return false;
    (void)snprintf(text, sizeof(text),
                   "PUT /block HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", size);
    if (!make_request(SLOW_BODY, text, size))
        return false;
    (void)snprintf(text, sizeof(text), "GET /block/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", name);
    return make_request(SLOW_READER, text, 0);
}

static void make_client(unsigned number, bool mixed)
{
    struct client *client = &clients[number];
    bool odd = number % 2 == 1;
    client->fd = -1;
    client->kind = mixed ? (enum kind)(number % 3) : SLOW_BODY;
    if (!mixed)
        client->step = 8 * KIB + 256;
    else if (client->kind == SLOW_HEAD)
        client->step = 1;
    else if (client->kind == SLOW_BODY) /* above the rate that is asked for, or below */
        client->step = odd ? 9 * KIB : 2 * KIB;
    else
        client->step = odd ? 10 * KIB : KIB;
}

static void begin(struct client *client)
{
    int size = RECEIVE_BUFFER;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    client->sent = 0;
    if (client->fd < 0)
        return;
    (void)setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    (void)connect(client->fd, (const struct sockaddr *)&server, sizeof(server));
}

static void finish(struct client *client)
{
    if (client->fd >= 0)
        (void)close(client->fd);
    client->fd = -1;
}

/* Sends or reads its share of a second; false: the server has ended it. */
static bool move(struct client *client)
{
    static char got[READ_MAX];
    const struct request *request = &requests[client->kind];
    bool all_sent = client->sent == request->len;
    ssize_t moved = recv(client->fd, got, all_sent ? client->step : 1, all_sent ? 0 : MSG_PEEK);
    if (moved == 0 || (moved < 0 && errno != EAGAIN))
        return false;
    if (all_sent)
        return true;
    size_t len = request->len - client->sent;
    if (client->kind == SLOW_READER || len < client->step)
        moved = send(client->fd, request->text + client->sent, len, MSG_NOSIGNAL);
    else
        moved = send(client->fd, request->text + client->sent, client->step, MSG_NOSIGNAL);
    if (moved > 0)
        client->sent += (size_t)moved;
    return moved > 0 || errno == EAGAIN;
}

/* Those whose turn it is in this tick. */
static void turn(unsigned tick)
{
    for (unsigned i = tick; i < count; i += TICKS) {
        if (clients[i].fd < 0) {
            begin(&clients[i]);
        } else if (!move(&clients[i])) {
            finish(&clients[i]);
            ended++;
        }
    }
}

/* Until a word comes. */
static void drive(void)
{
    struct pollfd words = {.fd = STDIN_FILENO, .events = POLLIN};
    struct timespec next;
    (void)clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned tick = 0; poll(&words, 1, 0) == 0; tick = (tick + 1) % TICKS) {
        turn(tick);
        next.tv_nsec += SECOND_NS / TICKS;
        if (next.tv_nsec >= (long)SECOND_NS) {
            next.tv_nsec -= (long)SECOND_NS;
            next.tv_sec++;
        }
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}

int main(int argc, char **argv)
{
    char word[16];
    if (argc != 6)
        return 2;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    count = (unsigned)atoi(argv[4]);
    clients = calloc(count, sizeof(*clients));
    if (clients == NULL || !make_requests(argv[3], (size_t)atoi(argv[5])))
        return 1;
    for (unsigned i = 0; i < count; i++)
        make_client(i, strcmp(argv[1], "crowd") == 0);
    (void)setvbuf(stdin, NULL, _IONBF, 0);
    while (fgets(word, sizeof(word), stdin) != NULL) {
        (void)printf("%u\n", ended);
        (void)fflush(stdout);
        ended = 0;
        if (strcmp(word, "on\n") == 0)
            drive();
        else
            for (unsigned i = 0; i < count; i++)
                finish(&clients[i]);
    }
    return 0;
}
