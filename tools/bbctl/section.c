/* SPDX-License-Identifier: Apache-2.0
 * What the commands over one part of the daemon share: an order to it, and what /status says of it.
 */
#include "bbctl/command.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int bb_ctl_section(const struct bb_ctl_options *options, const char *name, json_t **ret_section)
{
    json_t *object;
    int code = bb_ctl_object(options, "/status", &object);
    if (code != BB_CTL_OK)
        return code;
    json_t *section = json_incref(json_object_get(object, name));
    json_decref(object);
    if (section == NULL) {
        bb_ctl_complain("the daemon is not ready");
        return BB_CTL_DEGRADED;
    }
    *ret_section = section;
    return BB_CTL_OK;
}

int bb_ctl_post(const struct bb_ctl_options *options, const char *target)
{
    struct bb_ctl_client client;
    struct bb_ctl_reply reply = {0};
    const struct bb_ctl_request request = {.method = "POST", .target = target, .body = ""};
    int code = bb_ctl_connect(options, &client);
    if (code != BB_CTL_OK)
        return code;
    int error = bb_ctl_client_ask(&client, &request, &reply);
    bb_ctl_client_close(&client);
    if (error != 0) {
        bb_ctl_complain("no answer: %s", strerror(-error));
        code = BB_CTL_FAILED;
    } else if (reply.status != 200) {
        code = bb_ctl_refused(&reply);
    }
    free(reply.body);
    return code;
}
