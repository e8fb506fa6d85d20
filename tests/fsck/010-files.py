#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 200
"""bbfsck itself on files: exit codes, numbers, --deep, --repair, --accept-loss, and an index whose
pages are damaged one after the other."""
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import bbtest  # noqa: E402
from bbstore import (FSCK_CLEAN, FSCK_CORRECTED, FSCK_ERRORS, MIB, UNIT, Store,  # noqa: E402
                     equal, expect, hash_of, seeded)

USAGE = 16
SIZES = (0, 1, 4096, 5000, 20000, 70000, 300000)
JOURNAL, SUPER_1 = 8 * MIB, 64 << 10


def filled(plan, count=40):
    """A stopped store and its blocks."""
    store = Store(128 * MIB, 16 * MIB, options=["--memory", "64M"])
    bodies = [plan.randbytes(SIZES[i % len(SIZES)] + i) for i in range(count)]
    store.start()
    with store.client() as client:
        for body in bodies:
            equal(client.put(body).status, 201, "PUT")
    store.stop()
    return store, bodies


def read(path, offset, size):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def write(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)
        os.fsync(file.fileno())


def digest(store):
    total = hashlib.sha256()
    for path in (store.data, store.index):
        with open(path, "rb") as file:
            while chunk := file.read(MIB):
                total.update(chunk)
    return total.hexdigest()


def numbers(store, *options):
    """Exit code and the numbers of what was found."""
    done = store.fsck("--json", *options)
    expect(done.stdout.startswith("{"), f"no JSON: {done.stdout}{done.stderr}")
    return done.returncode, {finding["number"] for finding in json.loads(done.stdout)["findings"]}


def clean(store):
    code, found = numbers(store, "--deep")
    equal((code, found), (FSCK_CLEAN, set()), "a check after the repair")


def all_there(store, bodies, but=()):
    store.start()
    with store.client() as client:
        for body in bodies:
            if body in but:
                equal(client.get(hash_of(body)).status, 500, "GET of a marked block")
            else:
                equal(client.get(hash_of(body)).body, body, "GET")
    store.stop()


@bbtest.case("a clean store has no findings, and wrong arguments are refused")
def plain():
    store, bodies = filled(seeded(), 8)
    with store:
        before = digest(store)
        clean(store)
        equal(digest(store), before, "the devices after a check")
        equal(store.fsck("--repair").returncode, FSCK_CLEAN, "a repair of nothing")
        equal(digest(store), before, "the devices after a repair of nothing")
        equal(store.fsck("--accept-loss").returncode, USAGE, "--accept-loss alone")
        equal(store.fsck("--repair", "--rebuild").returncode, USAGE, "both at once")
        all_there(store, bodies)


@bbtest.case("a rotten block is found by --deep, marked by --repair and healed by a PUT")
def rotten():
    store, bodies = filled(seeded(), 12)
    with store:
        bad = bodies[6]
        store.flip_bit(store.find(bad) + 1000)
        equal(store.fsck().returncode, FSCK_CLEAN, "a check that does not read the blocks")
        before = digest(store)
        equal(numbers(store, "--deep"), (FSCK_ERRORS, {501}), "--deep")
        equal(digest(store), before, "the devices after a check")
        equal(numbers(store, "--deep", "--repair"), (FSCK_CORRECTED, {501}), "--deep --repair")
        clean(store)
        all_there(store, bodies, {bad})
        store.start()
        with store.client() as client:
            equal(client.put(bad).status, 201, "PUT of the marked block")
        store.stop()
        clean(store)
        all_there(store, bodies)


@bbtest.case("superblocks and descriptor pages are repaired without loss")
def copies():
    store, bodies = filled(seeded())
    with store:
        journal_end = JOURNAL + 8 * MIB  # the smallest ring of bbformat
        page = bytes(64)
        for places, wanted in (([SUPER_1], {101}), ([SUPER_1, 4 * MIB, 120 * MIB + MIB], {103}),
                               ([journal_end + UNIT], {302}),
                               ([journal_end, 119 * MIB], {303, 307, 308})):
            for place in places:
                expect(read(store.data, place, 2) == b"BB", f"no structure at {place}")
                write(store.data, place + 40, page)
            _, found = numbers(store)
            expect(found & wanted, f"{places}: found {found}, not {wanted}")
            code, _ = numbers(store, "--repair")
            equal(code, FSCK_CORRECTED, f"repair of {places}")
            clean(store)
        all_there(store, bodies)


@bbtest.case("a lost journal record is given up only with --accept-loss")
def lost_record():
    store, bodies = filled(seeded(), 10)
    with store:
        late = [bytes([i]) * 9000 for i in range(1, 7)]
        store.start()
        with store.client() as client:
            for body in late:
                equal(client.put(body).status, 201, "PUT")
        store.kill()
        names = [bytes.fromhex(hash_of(body)) for body in late]
        ring = read(store.data, JOURNAL, 8 * MIB)
        places = [ring.rfind(name) for name in names]
        expect(min(places) >= 0, "the journal does not name them")
        unit = places[1] // UNIT
        if unit == places[-1] // UNIT:
            raise bbtest.Skip("all of them are in one record")
        write(store.data, JOURNAL + unit * UNIT + 300, b"damage")
        before = digest(store)
        code, found = numbers(store)
        equal((code, 204 in found), (FSCK_ERRORS, True), f"check, which found {found}")
        equal(numbers(store, "--repair")[0], FSCK_ERRORS, "repair without --accept-loss")
        equal(digest(store), before, "the devices after it")
        done = store.fsck("--repair", "--accept-loss", "--yes")
        equal(done.returncode, FSCK_CORRECTED, f"repair: {done.stdout}{done.stderr}")
        expect("given up: journal record" in done.stdout, done.stdout)
        clean(store)
        kept = [body for body, place in zip(late, places) if place // UNIT != unit]
        all_there(store, bodies + kept)


@bbtest.case("whatever page of the index is damaged, the check ends and a repair brings all back")
def index_pages():
    plan = seeded()
    store, bodies = filled(plan)
    with store:
        image = read(store.index, 0, 16 * MIB)
        used = [page for page in range(64) if image[page * UNIT:(page + 1) * UNIT].strip(b"\0")]
        repaired = 0
        for page in used:
            place = page * UNIT
            for data in (bytes(UNIT), plan.randbytes(UNIT), image[place + UNIT:place + 2 * UNIT],
                         bytes([image[place] ^ 4]) + image[place + 1:place + UNIT]):
                write(store.index, place, data)
                code = store.fsck(timeout=30).returncode
                expect(code in (FSCK_CLEAN, FSCK_ERRORS), f"page {page}: check ends with {code}")
                done = store.fsck("--repair", "--yes", timeout=30)
                expect(done.returncode in (FSCK_CLEAN, FSCK_CORRECTED),
                       f"page {page}: repair ends with {done.returncode}: "
                       f"{done.stdout}{done.stderr}")
                repaired += done.returncode == FSCK_CORRECTED
                done = store.fsck("--json")
                equal(json.loads(done.stdout)["blocks"], len(bodies), f"page {page}: blocks")
                equal(done.returncode, FSCK_CLEAN, f"page {page}: check after the repair")
                image = read(store.index, 0, 16 * MIB)
        expect(repaired > 0, "no damage mattered: the pages are not those of the index")
        all_there(store, bodies)


sys.exit(bbtest.run_cases())
