#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# when: quick
"""The judgement of the benchmark: medians, spreads, verdicts, and where fio may write."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
# pylint: disable=wrong-import-position
import result  # noqa: E402
from bench import Area, HEAD, TAIL  # noqa: E402
from machine import GIB, MIB, Refused  # noqa: E402
from result import INCONCLUSIVE, MET, MISSED, Line, Sample, Series  # noqa: E402
from store import Checks, Store  # noqa: E402

passed = failed = 0


def expect(found, wanted, what):
    global passed, failed
    if found == wanted:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}: {found!r}, expected {wanted!r}")


def series(*values, **more):
    made = Series("x")
    for value in values:
        made.add(Sample(value, **more))
    return made


def verdicts():
    steady, other = series(100, 90, 110), series(50, 52)
    expect(steady.median(), 100, "median of three")
    expect(round(steady.spread(), 3), 0.2, "spread")
    expect(Line(1, "", steady, other, 1.9).verdict(), MET, "1.96 of the reference, 1.9 wanted")
    expect(Line(1, "", steady, other, 2).verdict(), MISSED, "1.96 of the reference, 2 wanted")
    expect(Line(1, "", steady, other, 2, "<=").verdict(), MET, "less is better")
    expect(Line(1, "", steady, None, 99).verdict(), MET, "a limit of its own")
    expect(Line(1, "", steady, None, 99, "<=").verdict(), MISSED, "a limit of its own, above it")
    wild = series(100, 90, 116)
    expect(Line(1, "", wild, other, 1).verdict(), INCONCLUSIVE, "ours varies by 26 %, target met")
    expect(Line(1, "", wild, other, 9).verdict(), INCONCLUSIVE, "ours varies by 26 %, target missed")
    expect(Line(1, "", steady, series(50, 70), 1).verdict(), INCONCLUSIVE, "the reference varies")
    expect(Line(1, "", steady, other, 1).verdict(judge=False), result.UNJUDGED, "a quick run")
    expect(Line(1, "", steady, other).verdict(), result.SHOWN, "no target")
    expect(Line(1, "", steady, other, 1, skipped="no fio").verdict(), result.SKIPPED, "no reference")
    expect(series(1, 2, cpu=3.0, client=1.0, machine=9.0).system_cpu(), 8.0, "CPU without the client's")
    text = result.table([Line(1, "PUT", steady, other, 1.5, note="a note"),
                         Line(2, "GET", skipped="why not")], True)
    for words in ("1.96", ">= 1.5", "met", "a note", "why not", "skipped", "20 %"):
        expect(words in text, True, f"table has {words}")


def areas():
    for size in (4 * GIB, 7 * GIB + 5 * MIB, 64 * GIB):
        area = Area("x", size)
        expect(area.fio_offset + area.fio_size <= size - TAIL, True, "fio stays before the tail")
        expect(area.fio_offset % MIB + area.fio_size % MIB, 0, "fio's area is aligned")
        zones = -(-area.room // (1006 * MIB))
        expect(area.open_end(zones) <= area.fio_offset, True,
               f"what fits at {size} lies before fio's area")
        expect(area.zones_offset >= HEAD + 8 * MIB, True, "zones come after the journal")
    try:
        Area("x", 2 * GIB)
        expect("taken", "refused", "a device of 2 GiB")
    except Refused:
        expect(True, True, "a device of 2 GiB")


def harness():
    """Canary: what has to fail the benchmark does."""
    checks = Checks()
    print("canary, has to print FAILED:", end=" ")
    checks.expect(False, "planted")
    expect((checks.passed, checks.failures), (0, ["planted"]), "a failed check is remembered")
    phases = Store.phases('{"phase":"put","seconds":1}\nbbbench: words\n{"phase":"total"}\n',
                          {"windows": 5, "window_items": 0}, {"windows": 7, "window_items": 12}, {})
    expect(sorted(phases), ["put", "total"], "phases of bbbench")
    expect(phases["put"].per("window_items", "windows"), 6, "counters are differences")
    for value, text in ((0, "0"), (0.123, "0.12"), (12.34, "12.3"), (1234, "1234"),
                        (61234, "61.2k"), (1234567, "1.23M"), (None, "-")):
        expect(result.number(value), text, f"number {value}")


verdicts()
areas()
harness()
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
