/* SPDX-License-Identifier: Apache-2.0
 * Opening sockets. The one for bbctl is there unless it cannot be: an absent one only takes away
 * comfort, so that it fails with a warning unless it was asked for by name.
 */
#include "bbd/listeners.h"

#include "bb/err.h"
#include "bb/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static bool is_open(const struct bbd_listeners *listeners, const struct bb_listener *listener)
{
    for (unsigned i = 0; i < listeners->count; i++)
        if (bb_listener_equal(&listeners->at[i], listener))
            return true;
    return false;
}

static int keep(struct bbd_listeners *listeners, const struct bb_listener *listener)
{
    if (listeners->count == BB_LISTENER_MAX) {
        bb_log(BB_LOG_ERROR, "more than %d sockets to listen on", BB_LISTENER_MAX);
        return BB_ERR_USAGE;
    }
    listeners->at[listeners->count++] = *listener;
    bb_log(BB_LOG_INFO, "listening address=%s%s", listener->name, listener->tls ? " tls=yes" : "");
    return 0;
}

static bool everybody_may(const struct bb_config *config)
{
    return bb_config_text(config, BB_OPTION_TOKENS) != NULL ||
           bb_config_number(config, BB_OPTION_AUTH) == 1;
}

static int adopt_all(const struct bb_config *config, struct bbd_listeners *listeners)
{
    unsigned count = bb_listen_inherited();
    for (unsigned i = 0; i < count; i++) {
        struct bb_listener listener;
        int fd = BB_LISTEN_FIRST + (int)i;
        int error = bb_listener_adopt(fd, &listener);
        if (error != 0) {
            bb_log(BB_LOG_ERROR, "descriptor %d of systemd: %s; give stream sockets that listen",
                   fd, bb_err_text(error));
            return error;
        }
        if (!listener.loopback && !everybody_may(config)) {
            bb_log(BB_LOG_ERROR,
                   "descriptor %d of systemd: %s is not loopback and there are no tokens; make "
                   "some (--tokens FILE), or say --auth none",
                   fd, listener.name);
            return BB_ERR_USAGE;
        }
        error = keep(listeners, &listener);
        if (error != 0)
            return error;
    }
    return 0;
}

static int open_all(const struct bb_config *config, struct bbd_listeners *listeners)
{
    bool by_default = config->settings[BB_OPTION_LISTEN].source == BB_CONFIG_DEFAULT;
    const char *cursor = bb_config_text(config, BB_OPTION_LISTEN);
    char word[BB_LISTENER_NAME_MAX];
    if (by_default && listeners->count > 0)
        return 0;
    while (bb_config_next(&cursor, word, sizeof(word))) {
        struct bb_listener listener;
        bool parsed = bb_listener_parse(word, &listener);
        BB_ASSERT(parsed);
        if (is_open(listeners, &listener))
            continue;
        int error = bb_listener_open(&listener);
        if (by_default && (error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL)) {
            bb_log(BB_LOG_INFO, "not listening on %s: %s", listener.name, bb_err_text(error));
            continue;
        }
        if (error != 0) {
            bb_log(BB_LOG_ERROR, "cannot listen on %s: %s", listener.name, bb_err_text(error));
            return error;
        }
        error = keep(listeners, &listener);
        if (error != 0)
            return error;
    }
    return listeners->count > 0 ? 0 : -EADDRNOTAVAIL;
}

static int open_tls(const struct bb_config *config, struct bbd_listeners *listeners)
{
    const char *cursor = bb_config_text(config, BB_OPTION_LISTEN_TLS);
    char word[BB_LISTENER_NAME_MAX];
    while (bb_config_next(&cursor, word, sizeof(word))) {
        struct bb_listener listener;
        bool parsed = bb_listener_parse(word, &listener);
        BB_ASSERT(parsed);
        listener.tls = true;
        int error = bb_listener_open(&listener);
        if (error != 0) {
            bb_log(BB_LOG_ERROR, "cannot listen on %s for TLS: %s", listener.name,
                   bb_err_text(error));
            return error;
        }
        error = keep(listeners, &listener);
        if (error != 0)
            return error;
    }
    return 0;
}

static int open_admin(const struct bb_config *config, const char *run_dir,
                      struct bbd_listeners *listeners)
{
    const char *path = bb_config_text(config, BB_OPTION_ADMIN_SOCKET);
    struct bb_listener listener;
    char text[300];
    int error = -ENAMETOOLONG;
    if (path != NULL)
        (void)snprintf(text, sizeof(text), "unix:%s", path);
    else
        (void)snprintf(text, sizeof(text), "unix:%s/bbd.sock", run_dir);
    bool parsed = bb_listener_parse(text, &listener);
    if (parsed && is_open(listeners, &listener))
        return 0;
    if (parsed)
        error = bb_listener_open(&listener);
    if (error == 0)
        return keep(listeners, &listener);
    bb_log(path != NULL ? BB_LOG_ERROR : BB_LOG_WARNING,
           "no socket for bbctl at %s: %s; name another with --admin-socket", text,
           bb_err_text(error));
    return path != NULL ? error : 0;
}

int bbd_listeners_open(const struct bb_config *config, const char *run_dir,
                       struct bbd_listeners *ret_listeners)
{
    ret_listeners->count = 0;
    int error = adopt_all(config, ret_listeners);
    if (error == 0)
        error = open_all(config, ret_listeners);
    if (error == 0)
        error = open_tls(config, ret_listeners);
    if (error == 0)
        error = open_admin(config, run_dir, ret_listeners);
    return error;
}

void bbd_listeners_close(struct bbd_listeners *listeners)
{
    for (unsigned i = 0; i < listeners->count; i++)
        bb_listener_close(&listeners->at[i]);
    listeners->count = 0;
}
