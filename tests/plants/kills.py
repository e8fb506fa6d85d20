#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at each kill point of include/bb/plant.h.

    kills.py [PATTERN]     only the points that match; the programs of BB_BUILD, else of build/plants

Per point: a store with some blocks, load by clients whose outcomes are known (bboracle.py), and a
daemon that dies at the point, by load, by a clean stop, or while it starts after a kill.  Then an
ordinary start, every block is read back, and bbfsck finds nothing.  The points are asked from bbd
itself; one that is never passed is a failure.
"""
import concurrent.futures
import fnmatch
import os
import random
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("BB_BUILD", os.path.join(ROOT, "build", "plants"))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from bboracle import Worker, canary, faults_of, in_threads, join, verify  # noqa: E402
from bbstore import MIB, Store, expect, program, run  # noqa: E402

CLIENTS = 4
LOAD_SECONDS = 1.0
DEATH_SECONDS = 60
# Commits of a running store; later passages lie in the middle of the load.
OFTEN = {"DATA_WRITTEN", "ITEM_APPENDED", "RECORD_SUBMITTED", "RECORD_WRITTEN", "RECORD_FLUSHED",
         "REPLIED"}
# How often it is passed while one thing happens: each of them is a kill of its own.
PASSAGES = {"SUPER_SUBMITTED": 2, "SUPER_FLUSHED": 2, "EPOCH_COPY_WRITTEN": 4,
            "EPOCH_PAIR_FLUSHED": 2, "ZONE_SUBMITTED": 2, "START_FOLDED": 2}


def points_compiled_in():
    """What bbd was built with, one name per line."""
    done = run("env", "BB_KILL_POINT=list", program("bbd"))
    expect(done.returncode == 0 and len(done.stdout.split()) > 20, f"a list: {done.stderr}")
    return done.stdout.split()


def kills(points):
    """NAME:n of every kill."""
    for point in points:
        if point in OFTEN:
            yield f"{point}:{random.Random(point).randint(20, 80)}"
        else:
            for n in range(1, PASSAGES.get(point, 1) + 1):
                yield f"{point}:{n}"


def died(store, seconds):
    """Whether it died by SIGKILL within that time."""
    try:
        code = store.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    store.process = None
    expect(code == -signal.SIGKILL, f"bbd ended with {code}: {store.log_tail()}")
    return True


def load(store, workers, seconds, end):
    """Clients work until the daemon is gone: by itself, or by end() after so long."""
    threads = in_threads([worker.load for worker in workers])
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and store.process.poll() is None:
        time.sleep(0.01)
    end()
    join(threads)


def die_at(store, workers, kill):
    def launch():
        store.launch(prefix=["env", f"BB_KILL_POINT={kill}"])

    if kill.startswith(("START_", "EPOCH_")):
        store.start()
        load(store, workers, 0.3, store.kill)  # so that the next start has something to do
        launch()
    elif kill.startswith(("ZONE_", "SUPER_")):
        launch()  # a fresh store opens its first zone
    else:
        store.start()  # the first zone is opened and blocks are there
        load(store, workers, 0.2, store.stop)
        launch()
        store.wait_ready()
        # What the load does not pass, the clean stop does.
        often = kill.split(":")[0] in OFTEN
        load(store, workers, DEATH_SECONDS if often else LOAD_SECONDS, store.process.terminate)
    if not died(store, DEATH_SECONDS):
        store.kill()
        raise AssertionError("the kill point was not passed")


def check(store, workers, lie):
    """lie: the canary, an oracle that is told wrong has to be noticed."""
    store.start()
    verify(workers)
    if lie:
        canary(workers)
    load(store, workers, 0.1, store.stop)  # it also goes on
    expect(not faults_of(workers), f"{faults_of(workers)[:3]}")
    store.check()


def survives(kill):
    started = time.monotonic()
    try:
        with Store(192 * MIB, 16 * MIB, options=["--memory", "64M"], in_memory=True) as store:
            workers = [Worker(store, number, kill) for number in range(CLIENTS)]
            die_at(store, workers, kill)
            check(store, workers, lie=kill.startswith("REPLIED"))
        fault = None
    except AssertionError as error:
        fault = error
    print(f"{'FAILED' if fault else 'ok':8} {time.monotonic() - started:5.1f} s  killed at {kill}"
          f"{f': {fault}' if fault else ''}", flush=True)
    return fault is None


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else "*"
    points = [point for point in points_compiled_in() if fnmatch.fnmatch(point, pattern)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(survives, kills(points)))
    print(f"{outcomes.count(True)} passed, {outcomes.count(False)} failed")
    return 0 if outcomes and all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
