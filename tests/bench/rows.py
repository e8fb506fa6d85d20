# SPDX-License-Identifier: Apache-2.0
"""Rows 1 to 6: what a client gets. Each function measures one row and adds its lines.

Blocks of 4 KiB are served by one worker, as nginx and Redis answer from one thread: on two CPUs that
are the client's too a second one takes more than it gives (row 11). Other sizes get the default.
"""
from bench import KIB4, ONE_WORKER
from devices import Zram, disk_of
from machine import GIB, KIB, MIB, DiskTail, Unable, memory_available, new_folder
from result import Sample, Series, number, system_note
import references

FIO_WRITE = "fio 4k randwrite qd32 fdatasync=32"
FIO_READ = "fio 4k randread qd64"
FIO_LARGE = "fio 1m read qd8"
FIO_MIX = "fio 256k randrw at these rates"
FIO_DURABLE = "fio qd1 write + fdatasync p50"
REDIS_SET = "Redis SET 4k always"
NGINX_PUT = "nginx WebDAV PUT, not durable"
NGINX_STATIC = "nginx static 4k, page cache"
NGINX_204 = "nginx 204"
SHA = "SHA-256, one core"
SMALL_SET = 262144  # of the blocks that are read, where more would only cost time


def window_note(series):
    """How the commits were batched."""
    items, flushes = series.median_of("items_per_window"), series.median_of("flushes_per_s")
    if items is None:
        return ""
    return (f"{items:.1f} items per window, {flushes:.0f} flushes/s, "
            f"{series.median_of('sqes_per_enter') or 0:.1f} SQEs per enter, "
            f"{device_note(series)}{latency_note(series)}")


def device_note(series):
    writes = series.median_of("device_writes_per_op")
    return "" if writes is None else f"{number(writes)} writes of the device per operation, "


def latency_note(series):
    return (f"p50 {series.median_of('p50_us'):.0f} us, p99 {series.median_of('p99_us'):.0f} us, "
            f"p99.9 {series.median_of('p999_us'):.0f} us")


def row_1(bench):
    """PUT of 4 KiB into an empty store."""
    series = bench.interleave(
        lambda: {"ours": bench.sample(bench.put())},
        {FIO_WRITE: bench.fio.random_write, REDIS_SET: bench.redis.durable_set_4k,
         NGINX_PUT: bench.nginx.dav_put_4k})
    bench.shared[1] = series
    ours = series["ours"]
    bench.compare(1, "PUT 4 KiB", series, FIO_WRITE, 0.65, note=window_note(ours))
    bench.compare(1, "PUT 4 KiB", series, REDIS_SET, 1.3, note=system_note(ours))
    bench.compare(1, "PUT 4 KiB", series, NGINX_PUT, 3)


def get_set(bench):
    """GETs at random from the blocks that are read in several rows."""
    options = bench.read_set()
    bench.store.start(*ONE_WORKER)
    phases = bench.store.bench("--ops", "get", "--seconds", bench.seconds, *options)
    bench.stop()
    return bench.sample(phases["get"])


def row_2(bench):
    """GET of 4 KiB at random; fio reads where the blocks are."""
    size = int(bench.read_set()[-1]) * KIB4
    series = bench.interleave(lambda: {"ours": get_set(bench)},
                              {FIO_READ: lambda: bench.fio.random_read(bench.area.of_blocks(size)),
                               NGINX_STATIC: bench.nginx.static_4k})
    bench.shared[2] = series
    note = f"over {size / GIB:.2g} GiB" + ("" if size >= 4 * GIB or bench.quick else
                                           ", the device is too small for 4 GiB")
    bench.compare(2, "GET 4 KiB", series, FIO_READ, 0.75, note=f"{note}; {system_note(series['ours'])}; "
                  f"{latency_note(series['ours'])}")
    bench.compare(2, "GET 4 KiB", series, NGINX_STATIC)


def row_2_zram(bench):
    """The same on a device of memory, where the device is not what limits."""
    what = "GET 4 KiB, zram"
    try:
        blocks = min(4 * GIB, int(memory_available() * 0.3)) // KIB4
        data, index = Zram(blocks * KIB4 * 5 // 4 + 512 * MIB), Zram(max(blocks * 200, 64 * MIB))
    except Unable as reason:
        bench.add(2, what, skipped=str(reason))
        return
    store = type(bench.store)(bench.store.build, data.path, index.path,
                              new_folder(bench.folder, "zram"), bench.checks)
    options = ["--seed", "20002", "--size", KIB4, "--stored", blocks]

    def ours():
        store.start(*ONE_WORKER)
        sample = bench.sample(store.bench("--ops", "get", "--seconds", bench.seconds, *options)["get"])
        sample.workers = store.workers
        store.stop()
        return {"ours": sample}
    try:
        store.format()
        store.start()
        store.bench("--ops", "put", "--requests", blocks, "--seed", "20002", "--size", KIB4)
        store.stop()
        series = bench.interleave(ours, {NGINX_STATIC: bench.nginx.static_4k})
    finally:
        store.kill()
        data.remove()
        index.remove()
    bench.compare(2, what, series, NGINX_STATIC, 0.6,
                  note=f"over {blocks * KIB4 / GIB:.2g} GiB; {system_note(series['ours'])}; "
                       f"{latency_note(series['ours'])}")


def put_and_get(bench, size):
    """PUTs into an empty store and GETs of what they stored, MiB per second both."""
    bench.new_store()
    phases = bench.store.bench("--ops", "put,get", "--size", size, "--seconds", bench.seconds,
                               "--requests", bench.blocks_that_fit(size))
    bench.stop()
    bench.written = phases["put"].operations * size
    return {name: bench.sample(phases[name], phases[name].mib_per_s) for name in ("put", "get")}


def copies_note(series, size, sha):
    """Processor time in user space beside hashing: a copy of the body would show in it."""
    if sha is None:
        return ""
    hashing = size / MIB / sha.median() * 1e6
    return (f"user CPU {series.median_of('user_us'):.0f} us/op, hashing alone {hashing:.0f}, system "
            f"{series.median_of('system_us'):.0f}")


def row_3(bench, size, name, put_target, get_target):
    series = bench.interleave(
        lambda: put_and_get(bench, size),
        {SHA: lambda: references.sha256(size, bench.seconds),
         FIO_LARGE: lambda: bench.fio.large_read(bench.area.of_blocks(bench.written))},
        unit="MiB/s")
    sha = series.get(SHA)
    bench.compare(3, f"PUT {name}", series, SHA, put_target, ours="put",
                  note=f"{window_note(series['put'])}; {copies_note(series['put'], size, sha)}")
    bench.compare(3, f"GET {name}", series, FIO_LARGE, get_target, ours="get",
                  note=f"{system_note(series['get'])}; {latency_note(series['get'])}; "
                       f"{copies_note(series['get'], size, sha)}; the client hashes 1 in 16")


def row_3_64k(bench):
    """PUT and GET of 64 KiB."""
    row_3(bench, 64 * KIB, "64 KiB", None, None)


def row_3_512k(bench):
    """PUT and GET of 512 KiB."""
    row_3(bench, 512 * KIB, "512 KiB", 0.65, 0.9)


def row_3_1m(bench):
    """PUT and GET of 1 MiB."""
    row_3(bench, MIB, "1 MiB", None, 0.9)


def row_4(bench):
    """PUT over one connection: what a single writer waits for."""
    def ours():
        phase = bench.put("--connections", 1)
        return {"ours": bench.sample(phase, phase.latency_us["p50"])}
    series = bench.interleave(ours, {FIO_DURABLE: bench.fio.durable_write_p50}, unit="us")
    note = window_note(series["ours"])
    if FIO_DURABLE in series:
        note += f"; fio {series[FIO_DURABLE].median_of('per_second'):.0f} of both per second"
    bench.compare(4, "PUT 4 KiB, 1 connection, p50", series, FIO_DURABLE, 1.7, "<=", note)
    tail = series["ours"].derived("p99 / p50", "", lambda sample: sample.more["p99_us"] / sample.value)
    bench.add(4, "PUT 4 KiB, 1 connection, p99 / p50", tail, None, 3, "<=")


def fill_delta(bench, blocks, changes):
    """PUTs of 4 KiB until so little is missing to a checkpoint that it starts after `blocks` more that
    come together and a third of `changes` that come one by one: one that has as much to do as any, in
    the middle of what is measured next."""
    while True:
        status = bench.store.status()
        journal, delta = status["journal"], status["delta"]
        items = delta["max"] // 2 - delta["items"] - blocks - changes // 3
        units = journal["units"] // 4 - journal["used_units"] - blocks // 8 - changes // 3
        if min(items, units) <= 0 or delta["checkpoint_running"]:
            return
        together = max(delta["items"] // max(journal["used_units"], 1), 1)
        bench.store.bench("--ops", "put", "--requests", max(min(items, units * together) * 3 // 4, 64))


def row_5(bench):
    """A mix at half of what saturates: does anything stall, a checkpoint above all?"""
    blocks = 200 if bench.quick else 2000
    mix = ["--size", "4K-512K", "--ops", "mix", "--blocks", blocks, "--requests",
           bench.blocks_that_fit(256 * KIB, 2)]  # a quarter are PUTs of half of that

    def one(*options, changes=0):
        bench.new_store()
        if changes > 0 and not bench.quick:
            fill_delta(bench, blocks, changes)
        with DiskTail(disk_of(bench.store.data)) as disk:
            phase = bench.store.bench(*mix, "--seconds", bench.seconds, *options)["mix"]
            phase.disk_ms = disk.longest_ms(bench.seconds)
        bench.stop()
        return phase
    saturation = one().operations_per_s
    rate = max(int(saturation / 2), 1)
    tail, stall, bare = Series("p99 / p50", ""), Series("p99.9", "ms"), Series(FIO_MIX, "ms")
    checkpoints, reached, disk = [], [], []
    for i in range(bench.rounds + 1):
        if i > 0:
            bare.add(bench.fio.mix_tail(max(rate * 70 // 100, 1), max(rate // 4, 1), 256 * KIB))
        phase = one("--rate", rate, changes=int(rate * 0.3 * bench.seconds))
        sample = bench.sample(phase)
        checkpoints.append(phase.server["checkpoints"])
        reached.append(phase.operations_per_s / rate)
        disk.append("?" if phase.disk_ms is None else number(phase.disk_ms))
        tail.add(Sample(phase.latency_us["p99"] / phase.latency_us["p50"], sample.cpu, sample.client,
                        sample.machine, sample.workers, kinds=phase.kinds, **sample.more))
        stall.add(Sample(phase.latency_us["p999"] / 1e3, sample.cpu, sample.client, sample.machine,
                         sample.workers))
    note = (f"open loop, {rate}/s of {saturation:.0f}/s, {100 * min(reached):.0f} % of it reached; "
            f"checkpoints meanwhile: {', '.join(map(str, checkpoints))}")
    if min(checkpoints) == 0:
        note += " (not in every run: give more --seconds)"
    bench.add(5, "mix 4K to 512K at half load, p99 / p50", tail, None, 5, "<=", note)
    bench.add(5, "mix 4K to 512K at half load, p99.9", stall, None, 20, "<=",
              f"{latency_note(tail)}; run by run {', '.join(map(number, stall.values()))} ms, the "
              f"longest answer of the device, by the block layer, {', '.join(disk)} ms")
    bench.add(5, "the same beside the device alone", stall, bare, None, "<=",
              f"99.9 % of fio's reads; {100 * bare.median_of('reached'):.0f} % of the rates reached")


def deletes(bench):
    """DELETEs of blocks that were stored for it, as many as there is time for."""
    room = bench.area.room - int(bench.read_set()[-1]) * KIB4
    count = min(bench.seconds * 60000, max(room // 4 // KIB4, 1000))
    phases = bench.store.bench("--ops", "delete", "--blocks", count, "--seconds", bench.seconds)
    return bench.sample(phases["delete"])


def row_6(bench):
    """Small operations: DELETE and duplicates against a durable log, HEAD and absent against a 204."""
    def ours():
        options = bench.read_set(SMALL_SET)
        bench.store.start(*ONE_WORKER)
        found = {"delete": deletes(bench)}
        for op in ("dup", "head", "absent"):
            phases = bench.store.bench("--ops", op, "--seconds", bench.seconds, *options)
            found[op] = bench.sample(phases[op])
        bench.stop()
        return found
    bench.read_set()
    series = bench.interleave(ours, {REDIS_SET: bench.redis.durable_set_4k,
                                     NGINX_204: bench.nginx.no_content})
    bench.compare(6, "DELETE 4 KiB", series, REDIS_SET, 1.3, ours="delete",
                  note=system_note(series["delete"]))
    bench.compare(6, "PUT 4 KiB, duplicate", series, REDIS_SET, 1.3, ours="dup",
                  note=system_note(series["dup"]))
    bench.compare(6, "HEAD", series, NGINX_204, 0.9, ours="head", note=system_note(series["head"]))
    bench.compare(6, "GET absent", series, NGINX_204, 0.9, ours="absent",
                  note=system_note(series["absent"]))
