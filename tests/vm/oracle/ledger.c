/* SPDX-License-Identifier: Apache-2.0
 * The ledger's file and the contents of blocks (ledger.h). SHA-256 is taken from OpenSSL and not
 * from the code under test.
 */
#include "ledger.h"

#include <err.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEDGER_MAGIC 0x72656764656c6262ull

uint64_t ledger_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t mixed = *state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebull;
    return mixed ^ (mixed >> 31);
}

/* Mostly a unit or two, sometimes large; the largest and the sizes around a unit are met. */
static uint32_t size_of(uint64_t random)
{
    static const uint32_t edges[] = {4095, 4096, 4097, LEDGER_BLOCK_MAX - 1, LEDGER_BLOCK_MAX};
    uint64_t kind = random % 100, pick = random >> 8;
    if (kind < 3)
        return edges[pick % (sizeof(edges) / sizeof(edges[0]))];
    uint32_t max = kind < 65 ? 8192 : kind < 92 ? 65536 : kind < 99 ? 262144 : LEDGER_BLOCK_MAX;
    return (uint32_t)(8 + pick % (max - 7)); /* from 8 bytes on contents differ */
}

static uint64_t stream_of(const struct ledger *ledger, uint64_t number)
{
    uint64_t state = number;
    return ledger_random(&state) ^ ledger->seed;
}

void ledger_body(const struct ledger *ledger, const struct slot *slot, uint8_t *ret_body)
{
    uint64_t state = stream_of(ledger, slot->number);
    for (uint32_t at = 0; at < slot->size; at += (uint32_t)sizeof(uint64_t)) {
        uint64_t word = ledger_random(&state);
        uint32_t left = slot->size - at;
        memcpy(ret_body + at, &word, left < sizeof(word) ? left : sizeof(word));
    }
}

void ledger_renew(struct ledger *ledger, struct slot *slot, uint8_t *body)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    slot->number = atomic_fetch_add(&ledger->next_number, 1);
    uint64_t state = stream_of(ledger, ~slot->number);
    slot->size = size_of(ledger_random(&state));
    slot->state = SLOT_ABSENT;
    ledger_body(ledger, slot, body);
    if (EVP_Digest(body, slot->size, digest, NULL, EVP_sha256(), NULL) != 1)
        errx(2, "no SHA-256");
    for (size_t i = 0; i < LEDGER_NAME_SIZE / 2; i++)
        (void)snprintf(slot->name + 2 * i, 3, "%02x", digest[i]);
}

static struct ledger *map(int fd, const char *path)
{
    struct ledger *ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ledger == MAP_FAILED)
        err(2, "%s", path);
    (void)close(fd);
    return ledger;
}

void ledger_make(const char *path, uint64_t seed)
{
    static uint8_t body[LEDGER_BLOCK_MAX];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)sizeof(struct ledger)) != 0)
        err(2, "%s", path);
    struct ledger *ledger = map(fd, path);
    ledger->magic = LEDGER_MAGIC;
    ledger->seed = seed;
    atomic_store(&ledger->next_number, 1);
    for (unsigned i = 0; i < LEDGER_SLOTS; i++)
        ledger_renew(ledger, &ledger->slots[i], body);
}

struct ledger *ledger_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        err(2, "%s", path);
    struct ledger *ledger = map(fd, path);
    if (ledger->magic != LEDGER_MAGIC)
        errx(2, "%s: no ledger", path);
    return ledger;
}
