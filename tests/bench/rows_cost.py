# SPDX-License-Identifier: Apache-2.0
"""Rows 9 to 12: what it costs. The allocator alone, processor time, scaling, connections."""
import os
import re
import socket
import time

import machine
from machine import MIB, Unable
from result import Sample, Series, system_note
from rows import SMALL_SET, get_set

POLLED = re.compile(r"^  op=\d+, ", re.M)
IDLE_CONNECTIONS = 1000


def row_9(bench):
    """The allocator alone."""
    program = os.path.join(bench.store.build, "tests", "alloc_bench")
    if not os.path.exists(program):
        bench.add(9, "allocator", skipped=f"{program} is not built")
        return
    found = {}
    for _ in range(1 if bench.quick else 3):
        out = machine.run(program, 200000 if bench.quick else 2000000).out
        for full, kind, rate in re.findall(r"([\d.]+) % full, ([a-z ]+?)  +([\d.]+) M pairs/s", out):
            series = found.setdefault((full, kind), Series("ours", "pairs/s"))
            series.add(Sample(float(rate) * 1e6))
    bench.checks.expect(len(found) == 6, "alloc_bench reports six fill levels")
    for (full, kind), series in found.items():
        bench.add(9, f"allocator, {full} % full, {kind}", series, None,
                  10e6 if full == "50.0" else None)


def own_series(bench, row, measure):
    """Our samples of row 1 or 2, taken here when the row was not measured."""
    if row in bench.shared:
        return bench.shared[row]["ours"]
    series = Series("ours")
    for _ in range(bench.rounds + 1):
        series.add(measure())
    return series


def row_10(bench):
    """Processor time of the server per operation, its io-wq workers included."""
    get = own_series(bench, 2, lambda: get_set(bench))
    put = own_series(bench, 1, lambda: bench.sample(bench.put()))
    for series, name, limit in ((put, "PUT 4 KiB", 18), (get, "GET 4 KiB", 16)):
        cpu = series.derived("ours", "us", lambda sample: sample.cpu)
        bench.add(10, f"server CPU per {name}", cpu, None, limit, "<=",
                  note=f"user {series.median_of('user_us'):.1f}, system "
                       f"{series.median_of('system_us'):.1f}; {system_note(series)}")
    flushes = put.derived("ours", "", lambda sample: sample.more["flushes_per_window"])
    worker_us = put.derived("ours", "us", lambda sample: sample.more["worker_thread_us"]
                            / sample.more["operations"])
    bench.add(10, "flushes per window of PUTs", flushes, None, 1.05, "<=",
              note=f"{put.median_of('items_per_window'):.1f} items per window, "
                   f"{put.median_of('sqes_per_enter'):.1f} SQEs per enter")
    bench.add(10, "io-wq CPU per PUT 4 KiB", worker_us, note="as far as its threads were seen, ten "
              "times a second")
    row_10_punts(bench)


def row_10_punts(bench):
    """Requests that went to a kernel worker thread, counted in a run that pays for the counting."""
    what = "io-wq requests beside flushes, per window"
    more = bench.sample(bench.put(traced=True)).more
    if more["punts"] is None:
        bench.add(10, what, skipped="tracefs cannot be read here (root; mount -t tracefs)")
        return
    beyond = Series("ours", "")
    beyond.add(Sample((more["punts"] - more["flushes"]) / max(more["windows"], 1)))
    bench.add(10, what, beyond, None, 0.05, "<=",
              note=f"{more['punts']} in all, {more['windows']} windows, {more['flushes']} flushes; "
              "the last of them: " + ", ".join(f"{kind} {count}" for kind, count in sorted(
                  more["punt_kinds"].items())))


def per_cpu_second(bench, name, measure):
    counts = (1, 2, 4)
    found = {count: Series(f"{count} worker") for count in counts}
    for _ in range(bench.rounds + 1):
        for count in counts:
            phase = measure(count)
            found[count].add(bench.sample(phase, 1e6 / phase.server_cpu_us_per_op))
            found[count].samples[-1].more["per_s"] = phase.operations_per_s
    for count in counts[1:]:
        found[count].name, found[count].unit = "ours", "/CPU s"
        bench.add(11, f"{name} 4 KiB per server CPU second, {count} workers", found[count], found[1],
                  0.85, note=f"{found[count].median_of('per_s'):.0f}/s, with one worker "
                  f"{found[1].median_of('per_s'):.0f}/s; {system_note(found[count])}")


def row_11_get(bench):
    """Do more workers cost more, GET?"""
    options = bench.read_set(SMALL_SET)

    def measure(count):
        bench.store.start("--workers", count)
        phase = bench.store.bench("--ops", "get", "--seconds", bench.seconds, *options)["get"]
        bench.store.workers = count
        bench.stop()
        return phase
    per_cpu_second(bench, "GET", measure)


def row_11_put(bench):
    """Do more workers cost more, PUT?"""
    per_cpu_second(bench, "PUT", lambda count: bench.put(start=("--workers", count)))


def polls(pid):
    """For each ring of a process how many requests wait for an event, from the kernel's description
    of the ring: an idle connection is one that waits to be received from."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if "io_uring" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                text = machine.read_text(f"/proc/{pid}/fdinfo/{fd}")
                if "PollList:" not in text:
                    raise Unable("the kernel does not show what a ring waits for")
                found[fd] = len(POLLED.findall(text.split("PollList:")[1]))
        except FileNotFoundError:
            continue
    return found


def connect(port, count):
    """Keep-alive connections that have each had one reply."""
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sockets.append(sock)
    for sock in sockets:
        reply = b""
        while b"alive\n" not in reply:
            part = sock.recv(4096)
            if not part:
                raise Unable("a connection was closed by the server")
            reply += part
    return sockets


def polls_at_rest(pid):
    """Those without any connection: the one that asked whether it is ready may not be gone yet."""
    found, same = polls(pid), 0
    while same < 5:
        time.sleep(0.1)
        now = polls(pid)
        found, same = now, same + 1 if now == found else 0
    return found


def spread_of(bench, workers, count):
    """How many of `count` connections each worker has."""
    bench.store.start("--workers", workers)
    pid = bench.store.process.pid
    idle = polls_at_rest(pid)
    sockets = connect(bench.store.port, count)

    def counted():
        found = polls(pid)
        found = sorted((found[fd] - idle.get(fd, 0) for fd in found), reverse=True)[:workers]
        return found if sum(found) == count else None
    try:
        return machine.wait_until(counted, f"{count} connections in the rings", 60)
    finally:
        for sock in sockets:
            sock.close()
        bench.stop()


def row_12(bench):
    """Connections: evenly spread, and cheap when idle."""
    if bench.store.content is None:
        bench.new_store()
        bench.stop()
    excess, notes = Series("ours", "above"), []
    for workers in (1, 2, 3, 4):
        try:
            found = spread_of(bench, workers, 16)
        except Unable as reason:
            bench.stop()
            bench.add(12, "16 connections, most of a worker above its share", skipped=str(reason))
            break
        excess.add(Sample(max(found) - 16 / workers, workers=workers, connections=found))
        notes.append(f"{workers} workers: {'+'.join(map(str, found))}")
    else:
        worst = Series("ours", "above its share")
        worst.add(max(excess.samples, key=lambda sample: sample.value))
        bench.add(12, "16 connections, the worker with most", worst, None, 1, "<=",
                  note="; ".join(notes))
    bench.store.start()
    before = machine.rss_anon(bench.store.process.pid)
    sockets = connect(bench.store.port, IDLE_CONNECTIONS)
    after = machine.rss_anon(bench.store.process.pid)
    for sock in sockets:
        sock.close()
    bench.stop()
    cost = Series("ours", "MiB")
    cost.add(Sample((after - before) / MIB, before=before, after=after))
    bench.add(12, f"RssAnon of {IDLE_CONNECTIONS} idle connections", cost, None, 16, "<=",
              note=f"from {before / MIB:.1f} to {after / MIB:.1f} MiB")
