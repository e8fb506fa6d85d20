/* SPDX-License-Identifier: Apache-2.0
 * The writers that wait for the moment (fire.h).
 */
#include "fire.h"

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shot {
    int fd;
    const char *path, *value;
    pthread_t thread;
};

static struct shot shots[FIRE_MAX];
static unsigned shot_count;
static pid_t victim;
static pthread_barrier_t moment;

static void *shot_main(void *argument)
{
    struct shot *shot = argument;
    size_t len = strlen(shot->value);
    (void)pthread_barrier_wait(&moment);
    if (write(shot->fd, shot->value, len) != (ssize_t)len)
        err(2, "%s", shot->path);
    (void)close(shot->fd);
    return NULL;
}

static void add(char *word)
{
    char *value = strrchr(word, '=');
    if (value == NULL || shot_count == FIRE_MAX)
        errx(2, "%s: not PATH=VALUE, or more than %d", word, FIRE_MAX);
    *value++ = '\0';
    struct shot *shot = &shots[shot_count++];
    shot->path = word;
    shot->value = value;
    shot->fd = open(word, O_WRONLY | O_CLOEXEC);
    if (shot->fd < 0)
        err(2, "%s", word);
}

void fire_arm(char **words, int word_count)
{
    for (int i = 0; i < word_count; i++) {
        if (strcmp(words[i], "--kill") == 0 && i + 1 < word_count)
            victim = (pid_t)strtol(words[++i], NULL, 10);
        else
            add(words[i]);
    }
    if (pthread_barrier_init(&moment, NULL, shot_count + 1) != 0)
        errx(2, "no barrier");
    for (unsigned i = 0; i < shot_count; i++)
        if (pthread_create(&shots[i].thread, NULL, shot_main, &shots[i]) != 0)
            errx(2, "no thread");
}

bool fire_armed(void)
{
    return shot_count > 0 || victim > 0;
}

void fire_now(void)
{
    (void)pthread_barrier_wait(&moment);
    if (victim > 0 && kill(victim, SIGKILL) != 0)
        err(2, "kill");
}

void fire_wait(void)
{
    for (unsigned i = 0; i < shot_count; i++)
        (void)pthread_join(shots[i].thread, NULL);
}
