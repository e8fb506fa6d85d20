#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a hurried scrub costs a server at half load: p99 with and without it, in turns.

    scrub.py [SECONDS [ROUNDS]]     length of each measurement (4), pairs of them (3)

By hand, on a machine at rest; the programs of BB_BUILD, a store in memory, 1 GiB for each 10 s: a slow
device slows the scrub down.  The scrub runs as `bbctl scrub start` lets it run, with the settings as
they are by default; at the pace of 30 days it reads far less.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from bbstore import MIB, Store, expect, program  # noqa: E402


def bench(store, *options):
    """The last phase of a run of bbbench, as a dict."""
    done = subprocess.run([program("bbbench"), "--url", f"http://127.0.0.1:{store.port}", "--json",
                           "--size", "4096", *map(str, options)],
                          capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"bbbench: {done.stdout}{done.stderr}")
    phases = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [phase for phase in phases if "latency_us" in phase][-1]


def ctl(store, word):
    subprocess.run([program("bbctl"), "--socket", os.path.join(store.run_dir, "bbd.sock"), "scrub",
                    word], check=True, stdout=subprocess.DEVNULL)


def scrubbed(store):
    """Bytes of blocks it has read so far."""
    with store.client() as client:
        return client.status()["scrub"]["bytes"]


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with Store((1 + seconds * rounds // 5) * 1024 * MIB, 128 * MIB, in_memory=True) as store:
        store.start()
        bench(store, "--ops", "put", "--requests", 60000)
        full = bench(store, "--ops", "mix", "--blocks", 2000, "--seconds", max(1, seconds // 2))
        rate = int(full["operations_per_s"] / 2)
        found = {"pause": [], "start": []}
        for number in range(rounds):
            for word in ("pause", "start") if number % 2 == 0 else ("start", "pause"):
                ctl(store, word)
                before = scrubbed(store)
                phase = bench(store, "--ops", "mix", "--blocks", 2000, "--rate", rate,
                              "--seconds", seconds)
                p99 = {kind: said["latency_us"]["p99"] for kind, said in phase["kinds"].items()}
                found[word].append(phase["latency_us"]["p99"])
                print(f"{rate} per s, scrub {word}: p99 {phase['latency_us']['p99']:.0f} us, by kind "
                      f"{p99}, {(scrubbed(store) - before) / MIB / seconds:.1f} MiB/s read by it",
                      flush=True)
        store.stop()
    without, beside = (sorted(found[word])[rounds // 2] for word in ("pause", "start"))
    print(f"median p99 {without:.0f} us without, {beside:.0f} us beside it: "
          f"{100 * (beside / without - 1):+.1f} %")


if __name__ == "__main__":
    main()
