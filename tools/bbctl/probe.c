/* SPDX-License-Identifier: Apache-2.0
 * bbctl probe: which store a device or file belongs to, read from its superblocks or, of an index,
 * from its state row. Opens it for reading only and claims nothing, so it works beside a running
 * daemon and inside udev.
 */
#include "bb/err.h"
#include "bb/lmdbindex.h"
#include "bb/partition.h"
#include "bb/superblock.h"
#include "bb/syncio.h"
#include "bb/text.h"
#include "bbctl/command.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The row of a running index changes under the reader: then it is read again. */
#define INDEX_TRIES 5

struct found {
    const char *role; /* "data" or "index" */
    struct bb_uuid store, index;
    char label[33];
    bool clean;
    uint64_t epoch;
};

static int probe_data(const struct bb_device *device, struct found *found)
{
    struct bb_syncio sync;
    struct bb_super_copies copies;
    bb_syncio_init(&sync, device);
    int error = bb_super_load(&sync.io, &copies);
    if (error != 0 && error != BB_ERR_GEOMETRY) /* another size does not change whose it is */
        return error;
    if (copies.equal_count < 2)
        return error;
    *found = (struct found){.role = "data",
                            .store = copies.super.store,
                            .index = copies.super.index,
                            .clean = copies.super.clean,
                            .epoch = copies.super.epoch};
    memcpy(found->label, copies.super.label, sizeof(found->label));
    return 0;
}

static int probe_index(const struct bb_device *device, struct found *found)
{
    struct bb_index_state state;
    int error = BB_ERR_INDEX_DAMAGED;
    for (int i = 0; i < INDEX_TRIES && error == BB_ERR_INDEX_DAMAGED; i++)
        error = bb_lmdb_peek_state(device, &state);
    if (error != 0)
        return error;
    *found = (struct found){.role = "index", .store = state.store, .index = state.index};
    return 0;
}

/* udev's rule for values: what is not plain becomes '_', as libblkid's safe strings have it. */
static void print_safe(const char *name, const char *value)
{
    printf("%s=", name);
    for (; *value != '\0'; value++)
        putchar(isalnum((unsigned char)*value) || strchr("#+-.:=@_/", *value) != NULL ? *value
                                                                                      : '_');
    putchar('\n');
}

/* Any byte but the plain ones as \xNN: what udev's string_escape and lsblk take back. */
static void print_encoded(const char *name, const char *value)
{
    printf("%s=", name);
    for (; *value != '\0'; value++)
        if (isalnum((unsigned char)*value) || strchr("#+-.:=@_/", *value) != NULL)
            putchar(*value);
        else
            printf("\\x%02x", (unsigned)(unsigned char)*value);
    putchar('\n');
}

static void print_udev(const struct found *found)
{
    char uuid[37];
    printf("ID_FS_USAGE=other\nID_FS_TYPE=%s\nID_FS_VERSION=%u\n",
           strcmp(found->role, "data") == 0 ? "buddyblocks" : "buddyblocks_index",
           BB_FORMAT_VERSION);
    bb_text_of_uuid(&found->store, uuid);
    printf("ID_FS_UUID=%s\nID_FS_UUID_ENC=%s\n", uuid, uuid);
    if (found->label[0] != '\0') {
        print_safe("ID_FS_LABEL", found->label);
        print_encoded("ID_FS_LABEL_ENC", found->label);
    }
    printf("BUDDY_BLOCKS_ROLE=%s\nBUDDY_BLOCKS_STORE=%s\n", found->role, uuid);
    for (char *at = uuid; *at != '\0'; at++)
        if (*at == '-')
            *at = '/';
    printf("BUDDY_BLOCKS_ALIAS=/dev/buddyblocks/%s/%s\n", uuid, found->role);
}

static void print_found(const struct bb_ctl_options *options, const struct bb_device *device,
                        const struct found *found)
{
    char store[37], index[37], size[32];
    bool data = strcmp(found->role, "data") == 0;
    bb_text_of_uuid(&found->store, store);
    bb_text_of_uuid(&found->index, index);
    if (options->json) {
        printf("{\"role\":\"%s\",\"store\":\"%s\",\"index\":\"%s\",\"version\":%u,\"size\":%llu",
               found->role, store, index, BB_FORMAT_VERSION, (unsigned long long)device->size);
        if (data)
            printf(",\"clean\":%s,\"epoch\":%llu", found->clean ? "true" : "false",
                   (unsigned long long)found->epoch);
        printf("}\n");
        return;
    }
    printf("%-22s %s\n%-22s %s\n%-22s %s\n", "role", found->role, "store", store, "index", index);
    if (found->label[0] != '\0')
        printf("%-22s %s\n", "label", found->label);
    if (data)
        printf("%-22s %s\n%-22s %llu\n", "stopped cleanly", found->clean ? "yes" : "no", "epoch",
               (unsigned long long)found->epoch);
    printf("%-22s %s\n", "size", bb_text_of_size(device->size, size, sizeof(size)));
    printf("%-22s %s\n", "partition type to set",
           data ? BB_PARTITION_TYPE_DATA : BB_PARTITION_TYPE_INDEX);
}

int bb_ctl_probe(const struct bb_ctl_options *options, char **words)
{
    struct bb_device device;
    struct found found;
    int error = bb_device_open(words[0], BB_DEVICE_READ, 0, NULL, &device);
    if (error != 0) {
        bb_ctl_complain("%s: %s", words[0], bb_err_text(error));
        return BB_CTL_FAILED;
    }
    error = probe_data(&device, &found);
    if (error == BB_ERR_NOT_FORMATTED)
        error = probe_index(&device, &found);
    if (error == 0 && options->udev)
        print_udev(&found);
    else if (error == 0)
        print_found(options, &device, &found);
    else if (error == BB_ERR_NOT_FORMATTED)
        bb_ctl_complain("%s: neither half of a Buddy Blocks store", words[0]);
    else
        bb_ctl_complain("%s: %s", words[0], bb_err_text(error));
    bb_device_close(&device);
    if (error == BB_ERR_NOT_FORMATTED)
        return BB_CTL_ABSENT;
    return error == 0 ? BB_CTL_OK : BB_CTL_FAILED;
}
