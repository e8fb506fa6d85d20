/* SPDX-License-Identifier: Apache-2.0
 * Acknowledged blocks are there byte for byte, deleted ones are not, and the list names exactly
 * those that are (verify.h). The list also covers the names that slots had before.
 */
#include "verify.h"

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_LINES 500

static struct client client;
static uint8_t body[LEDGER_BLOCK_MAX];
static unsigned losses, doubt_kept, doubt_gone;

static void lost(const struct slot *slot, const char *what, int status)
{
    (void)printf("LOSS: %s, answer %d, block %s of %u bytes\n", what, status, slot->name,
                 slot->size);
    losses++;
}

static bool same(const struct ledger *ledger, const struct slot *slot)
{
    ledger_body(ledger, slot, body);
    return client.body_size == slot->size && memcmp(client.body, body, slot->size) == 0;
}

static void look_at(const struct ledger *ledger, struct slot *slot)
{
    char path[32 + LEDGER_NAME_SIZE];
    (void)snprintf(path, sizeof(path), "/block/%s", slot->name);
    int status = client_request(&client, "GET", path, NULL, 0);
    uint32_t before = slot->state;
    if (status == 200) {
        if (!same(ledger, slot))
            lost(slot, "other bytes than sent", status);
        else if (before == SLOT_ABSENT)
            lost(slot, "a block that was deleted or never sent is there", status);
        slot->state = SLOT_PRESENT;
    } else {
        if (status != 404)
            lost(slot, "cannot be read", status);
        else if (before == SLOT_PRESENT)
            lost(slot, "an acknowledged block is not there", status);
        slot->state = SLOT_ABSENT;
    }
    if (before == SLOT_IN_DOUBT)
        (*(slot->state == SLOT_PRESENT ? &doubt_kept : &doubt_gone))++;
}

static const struct slot *find(const struct ledger *ledger, const char *name)
{
    for (unsigned i = 0; i < LEDGER_SLOTS; i++)
        if (ledger->slots[i].state == SLOT_PRESENT &&
            memcmp(ledger->slots[i].name, name, LEDGER_NAME_SIZE) == 0)
            return &ledger->slots[i];
    return NULL;
}

/* Checks the lines of one answer and leaves the last name in `after`. Returns their number. */
static unsigned check_lines(const struct ledger *ledger, char after[static LEDGER_NAME_SIZE + 1])
{
    char line[LEDGER_NAME_SIZE + 32];
    unsigned count = 0;
    for (size_t at = 0; at < client.body_size; count++) {
        const char *begin = (const char *)client.body + at;
        const char *end = memchr(begin, '\n', client.body_size - at);
        size_t len = end != NULL ? (size_t)(end - begin) : client.body_size - at;
        (void)snprintf(line, sizeof(line), "%.*s", (int)len, begin);
        at += len + 1;
        const struct slot *slot = len > LEDGER_NAME_SIZE ? find(ledger, line) : NULL;
        if (slot == NULL || strtoul(line + LEDGER_NAME_SIZE, NULL, 10) != slot->size) {
            (void)printf("LOSS: the list has \"%s\", which is not stored so\n", line);
            losses++;
        }
        if (len >= LEDGER_NAME_SIZE && memcmp(line, after, LEDGER_NAME_SIZE) <= 0) {
            (void)printf("LOSS: the list is out of order at \"%s\"\n", line);
            losses++;
            return 0;
        }
        (void)snprintf(after, LEDGER_NAME_SIZE + 1, "%.*s", LEDGER_NAME_SIZE, line);
    }
    return count;
}

static void walk_list(const struct ledger *ledger, unsigned present)
{
    char path[64 + LEDGER_NAME_SIZE], after[LEDGER_NAME_SIZE + 1] = "";
    unsigned listed = 0, lines = LIST_LINES;
    while (lines == LIST_LINES) {
        (void)snprintf(path, sizeof(path), "/blocks?limit=%d&after=%s", LIST_LINES, after);
        int status = client_request(&client, "GET", path, NULL, 0);
        if (status != 200) {
            (void)printf("LOSS: the list answers %d\n", status);
            losses++;
            return;
        }
        lines = check_lines(ledger, after);
        listed += lines;
    }
    if (listed != present) {
        (void)printf("LOSS: the list has %u blocks, there are %u\n", listed, present);
        losses++;
    }
}

unsigned verify_run(struct ledger *ledger)
{
    unsigned present = 0;
    client_init(&client);
    for (unsigned i = 0; i < LEDGER_SLOTS; i++) {
        look_at(ledger, &ledger->slots[i]);
        present += ledger->slots[i].state == SLOT_PRESENT;
    }
    walk_list(ledger, present);
    client_close(&client);
    (void)printf("verify: %u present, %u absent, in doubt were %u: %u kept, %u gone; %u losses\n",
                 present, LEDGER_SLOTS - present, doubt_kept + doubt_gone, doubt_kept, doubt_gone,
                 losses);
    return losses;
}
