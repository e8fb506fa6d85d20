# SPDX-License-Identifier: Apache-2.0
"""Rows 7, 8 and 13: many blocks, an index that does not fit, a small machine."""
import os
import threading
import time

import machine
import references
from bench import KIB4, SEED, ZONE_DATA
from devices import flush_cache, read_bytes, size_of, size_text
from machine import GIB, MIB, Cgroup, Unable
from result import Sample, Series, system_note
from rows import FIO_READ, FIO_WRITE, latency_note

BIG_BLOCKS = 10_000_000
BIG_MARGIN = 10               # one more for so many is stored beside them by rows 7 and 8
INDEX_BYTES = 100             # per record, with room for a checkpoint
# OPENSSL_ia32cap without AVX (bit 60) and SSSE3 (41): SHA (29), BMI2 (8), AVX2 (5), BMI1 (3). OpenSSL
# has faster code for SHA-256 for each of them; set but empty it would take everything away.
SHA_OFF = "~0x1000020000000000:~0x20000128"
SMALL_MEMORY, SMALL_CGROUP = 64 * MIB, 128 * MIB
WARM_ROUNDS, WARM_CHECKPOINTS, WARM_GROWTH = 10, 4, MIB // 4
FIO_BESIDE = "fio 4k randwrite beside fio 4k randread qd16"
SQUEEZE_S = 0.5               # after the beginning of a measurement of row 8


def one(value, unit, **more):
    series = Series("ours", unit)
    series.add(Sample(value, **more))
    return series


# ---- row 7 ----

def big_unable(bench, blocks):
    """Why row 7 cannot be measured on these devices, or None."""
    margin = blocks // BIG_MARGIN
    room, need = bench.area.room, (blocks + margin) * KIB4
    if room < need:
        return (f"DEVICE has room for {size_text(room)} of blocks beside the area for fio, "
                f"{size_text(need)} are needed: take one of {size_text(need * GIB // ZONE_DATA + 6 * GIB)}")
    size = size_of(bench.store.index)
    if size < (blocks + margin) * INDEX_BYTES:
        return (f"INDEX of {size_text(size)} is too small: take one of "
                f"{size_text((blocks + margin) * INDEX_BYTES)}")
    return None


def store_big(bench, blocks):
    """Stores the blocks and returns bbbench's options to use them, and the peak of the memory."""
    bench.say(f"storing {blocks} blocks of 4 KiB ({size_text(blocks * KIB4)})")
    bench.new_store()
    began = time.monotonic()
    phase = bench.store.bench("--ops", "put", "--requests", blocks, "--seed", SEED, "--size",
                              KIB4)["put"]
    bench.say(f"stored in {time.monotonic() - began:.0f} s, {phase.operations_per_s:.0f} per s")
    limit = bench.store.status()["memory"]["limit"]
    bench.stop()
    bench.store.content = "big"
    bench.add(7, f"RssAnon, {blocks} blocks", one(phase.more["rss_peak"] / MIB, "MiB"), None,
              limit / MIB + 16, "<=", note=f"peak while storing; --memory {size_text(limit)}")
    return ["--seed", SEED, "--size", KIB4, "--stored", blocks]


def start_times(bench, kind):
    """From the start of the process to the first block read and the first one accepted; nothing of
    the index is in the page cache."""
    store = bench.store
    flush_cache(store.index)
    began = store.launch()

    def answers(method, path, wanted):
        machine.wait_until(lambda: store.request(method, path)[0] == wanted or
                           store.process.poll() is not None, f"{method} {path}", 120, 0.002)
        return time.monotonic() - began
    # An absent block is read through the same index; recovering, the answer is 503.
    read = answers("GET", "/block/" + "0" * 64, 404)
    write = answers("GET", "/readyz", 200)
    status = store.status()
    store.workers = status["workers"]
    blocks, fill = status["blocks"], max(status["recovery"]["fill_ms"], 1)
    bench.add(7, f"first read after start, {kind}", one(read, "s"), None, 1, "<=",
              note=f"first write after {write:.2f} s")
    bench.add(7, f"scan of the index at start, {kind}", one(blocks / fill * 1e3, "records/s"), None,
              3e6, note=f"{blocks} records, one thread")


def offline(bench):
    """bbfsck and the rebuild, and what the rebuild reads of the device."""
    store = bench.store
    flush_cache(store.data)
    flush_cache(store.index)
    bench.add(7, "bbfsck", one(store.fsck(), "s"), None, 60, "<=")
    before = read_bytes(store.data)
    seconds = store.fsck("--rebuild", "--yes")
    bench.add(7, "rebuild of the index", one(seconds, "s"), None, 120, "<=")
    if before is None:
        bench.add(7, "read by the rebuild", skipped="not counted by this device")
        return
    share = 100 * (read_bytes(store.data) - before) / size_of(store.data)
    bench.add(7, "read by the rebuild, of the device", one(share, "%"), None, 2.5, "<=")
    store.fsck()


def kept(bench, row, name, ours, series, reference):
    """A line for how much of the ratio of the empty store is left."""
    empty = bench.shared.get(row, {})
    if reference not in series or reference not in empty:
        bench.add(7, name, ours, series.get(reference),
                  note="not judged: " + bench.unable.get(reference, f"row {row} was not measured"))
        return
    before = empty["ours"].median() / empty[reference].median()
    bench.add(7, name, ours, series[reference], 0.8 * before,
              note=f"0.8 of the ratio of the empty store, {before:.2f}; {system_note(ours)}")


def row_7(bench):
    """Many blocks; rows 1 and 2 show the ratios of an empty store."""
    blocks = bench.big_blocks
    reason = big_unable(bench, blocks)
    if reason:
        bench.add(7, f"{blocks} blocks", skipped=reason)
        return
    options, margin = store_big(bench, blocks), blocks // BIG_MARGIN
    size, records = bench.store.index_bytes_per_record()
    bench.checks.expect(records == blocks, f"the index has {records} of {blocks} records")
    bench.add(7, "index per record", one(size, "bytes"), None, 90, "<=")
    start_times(bench, "clean")
    bench.stop()

    def ours():
        bench.store.start()
        get = bench.store.bench("--ops", "get", "--seconds", bench.seconds, *options)["get"]
        put = bench.store.bench("--ops", "put", "--seconds", bench.seconds, "--requests",
                                margin // 2 // (bench.rounds + 1))["put"]
        bench.stop()
        return {"get": bench.sample(get), "put": bench.sample(put)}
    place = bench.area.of_blocks(blocks * KIB4)
    series = bench.interleave(ours, {FIO_WRITE: bench.fio.random_write,
                                     FIO_READ: lambda: bench.fio.random_read(place)})
    kept(bench, 1, f"PUT 4 KiB, {blocks} blocks", series["put"], series, FIO_WRITE)
    kept(bench, 2, f"GET 4 KiB, {blocks} blocks", series["get"], series, FIO_READ)
    bench.store.start()
    load = bench.store.bench_aside("--ops", "put", "--requests", margin // 8, "--seconds", 60)
    time.sleep(2)
    bench.store.kill()
    load.kill()  # it has nobody left to talk to
    load.communicate(timeout=300)
    start_times(bench, "after kill -9")
    bench.store.bench("--ops", "get", "--seconds", 2, "--verify", *options)
    bench.stop()
    offline(bench)
    bench.shared["big"] = options


# ---- row 8 ----

class ColdIndex:
    """A store in a cgroup in which the page cache holds a quarter of the index."""

    def __init__(self, bench, options, records):
        self.bench, self.options, self.records = bench, options, records
        size, _ = bench.store.index_bytes_per_record()
        self.index_bytes = int(size * records)
        self.cache = self.index_bytes // 4
        self.wide = 4 * SMALL_MEMORY + self.index_bytes
        self.group = Cgroup(self.wide)
        self.cap = records // BIG_MARGIN // 16 if "big" in bench.shared else \
            bench.blocks_that_fit(KIB4, 0.05)  # PUTs of a measurement

    def squeeze(self):
        """Leaves the page cache its quarter and everything else what it has."""
        try:
            self.group.limit(self.group.used() - self.group.cached() + self.cache)
        except Unable:
            pass  # what the cache held is in the line

    def put(self, cold):
        store, seconds = self.bench.store, self.bench.seconds
        flush_cache(store.index)
        store.start("--memory", SMALL_MEMORY, prefix=self.group.prefix())
        more, reader = {}, None
        if cold:
            reader = store.bench_aside("--ops", "get", "--connections", 16, "--seconds",
                                       seconds + 4, *self.options)
            wait_for_reads(store)
        self.squeeze()
        again = threading.Timer(SQUEEZE_S, self.squeeze)  # when all connections have their buffers
        again.start()
        phase = store.bench("--ops", "put", "--seconds", seconds, "--requests", self.cap)["put"]
        again.join()
        more["cached"] = self.group.cached()
        if cold:
            found = store.bench_aside_end(reader)["get"]
            more.update(reads_per_s=found.operations_per_s, read_p99_us=found.latency_us["p99"])
        self.group.limit(self.wide)
        self.bench.stop()
        sample = self.bench.sample(phase)
        sample.more.update(more)
        return sample


def row_8(bench):
    """The index is four times what the page cache may hold of it: do cold lookups hold up commits?"""
    what = "PUT 4 KiB beside cold reads"
    options = bench.shared.get("big") or bench.read_set()
    records = int(options[-1])
    if records < 500000:
        bench.add(8, what, skipped=f"an index of {records} records is too small to be cold, take a "
                                   "larger DEVICE")
        return
    try:
        place = ColdIndex(bench, options, records)
    except Unable as reason:
        bench.add(8, what, skipped=str(reason))
        return
    series = bench.interleave(lambda: {"alone": place.put(False), "cold": place.put(True)},
                              {FIO_WRITE: bench.fio.random_write,
                               FIO_BESIDE: lambda: bench.fio.random_write_beside_reads(
                                   bench.area.of_blocks(records * KIB4), 16)})
    bench.checks.expect(place.group.killed() == 0, "nothing is killed for want of memory")
    place.group.remove()
    cold, alone = series["cold"], series["alone"]
    note = (f"{cold.median_of('reads_per_s'):.0f} reads/s beside it, p99 "
            f"{cold.median_of('read_p99_us') / 1e3:.1f} ms; alone {alone.median():.0f}/s in the same "
            f"cgroup (version {place.group.version}); index of {size_text(place.index_bytes)}, page "
            f"cache {size_text(cold.median_of('cached'))}; {latency_note(cold)}")
    if FIO_WRITE in series:
        before = alone.median() / series[FIO_WRITE].median()
        bench.add(8, what, cold, series[FIO_WRITE], 0.7 * before,
                  note=f"0.7 of the ratio without reads, {before:.2f}; {note}")
        bench.compare(8, what, series, FIO_BESIDE, 0.7 * before, ours="cold",
                      note="the reference has such reads beside it too: what the device itself keeps")
    else:
        bench.add(8, what, cold, skipped=f"{FIO_WRITE}: {bench.unable[FIO_WRITE]}", note=note)


def wait_for_reads(store):
    """bbbench hashes its blocks before it reads them."""
    def reading():
        return store.status()["counters"]["read"] > 100
    machine.wait_until(reading, "the readers beside it", 120, 0.05)


# ---- row 13 ----

def small_round(bench, group):
    """A PUT and a GET row on the small machine; memory at the end."""
    bench.stop()
    bench.store.format()
    bench.store.start("--memory", SMALL_MEMORY, "--workers", 1, prefix=[
        "taskset", "-c", str(min(os.sched_getaffinity(0))), *group.prefix()])
    phases = bench.store.bench("--ops", "put,get", "--seconds", bench.seconds, "--requests",
                               bench.blocks_that_fit(KIB4, 0.3))
    before = 0
    for _ in range(WARM_ROUNDS):  # until every part of what --memory allows has been in use
        now = machine.rss_anon(bench.store.process.pid)
        if bench.store.status()["delta"]["checkpoints"] >= WARM_CHECKPOINTS and \
                now - before < WARM_GROWTH:
            break
        before = now
        bench.store.bench("--ops", "put", "--seconds", bench.seconds, "--requests",
                          bench.blocks_that_fit(KIB4, 0.04))
    first = machine.rss_anon(bench.store.process.pid)
    phases_again = bench.store.bench("--ops", "put,get", "--seconds", bench.seconds, "--requests",
                                     bench.blocks_that_fit(KIB4, 0.2))
    bench.stop()
    growth = (phases_again["get"].server_rss_anon - first) / MIB
    bench.written = phases["put"].operations * KIB4
    put, get = bench.sample(phases["put"]), bench.sample(phases["get"])
    put.more["growth"], put.more["rss_peak"] = growth, phases_again["get"].more["rss_peak"]
    return {"put": put, "get": get}


def row_13(bench):
    """One processor, 64 MiB for the daemon in a cgroup of 128 MiB; and no SHA extensions."""
    try:
        machine.need_program("taskset", "util-linux")
        group = Cgroup(SMALL_CGROUP)
    except Unable as reason:
        bench.add(13, "small machine", skipped=str(reason))
    else:
        series = bench.interleave(lambda: small_round(bench, group),
                                  {FIO_WRITE: bench.fio.random_write,
                                   FIO_READ: lambda: bench.fio.random_read(
                                       bench.area.of_blocks(bench.written))})
        bench.checks.expect(group.killed() == 0, "nothing is killed for want of memory")
        group.remove()
        bench.compare(13, "PUT 4 KiB, 64M, 1 CPU", series, FIO_WRITE, ours="put")
        bench.compare(13, "GET 4 KiB, 64M, 1 CPU", series, FIO_READ, ours="get")
        growth = series["put"].derived("ours", "MiB", lambda sample: sample.more["growth"])
        bench.add(13, "growth of RssAnon after four checkpoints", growth, None, 1, "<=",
                  spread_matters=False,
                  note=f"peak {series['put'].median_of('rss_peak') / MIB:.1f} MiB")


def row_13_no_sha(bench):
    """What a processor without extensions for SHA-256 would do: reported, not judged."""
    env = {**os.environ, "OPENSSL_ia32cap": SHA_OFF}
    put, get = Series("ours"), Series("ours")
    bench.new_store(env=env)
    phases = bench.store.bench("--ops", "put,get", "--seconds", bench.seconds, "--requests",
                               bench.blocks_that_fit(KIB4))
    bench.stop()
    put.add(bench.sample(phases["put"]))
    get.add(bench.sample(phases["get"]))
    hashing = Series("SHA-256 in plain x86-64 code", "MiB/s")
    try:
        hashing.add(references.sha256(KIB4, 2, env))
        note = f"{hashing.name}: {hashing.median():.0f} MiB/s on one core"
    except Unable as reason:
        note = str(reason)
    bench.add(13, "PUT 4 KiB, no CPU extensions", put, note=note)
    bench.add(13, "GET 4 KiB, no CPU extensions", get)
