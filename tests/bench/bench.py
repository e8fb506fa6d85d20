# SPDX-License-Identifier: Apache-2.0
"""One run of the benchmark: what the rows share. The store and the area of the device that fio may
use, taking turns with references, the lines, what one row can use of another.

The data device while rows run: the store's zones open one after another from the front; fio works near
the end, in zones that are never opened, so that both can be measured in turns without a new format.

  | head | journal | zone | zone | zone ...            not opened | fio area | tail |
"""
import references
from devices import size_text
from machine import GIB, MIB, Refused, Unable
from result import Line, Sample, Series

HEAD = TAIL = 8 * MIB
ZONE, ZONE_DATA = GIB, 1006 * MIB
SEED = 20001  # of the blocks that several rows read
KIB4 = 4096
ONE_WORKER = ("--workers", 1)  # see rows.py


class Area:
    """Where the store may grow and where fio works. Nothing of it is read from the store: the numbers
    are those of the format (include/bb/layout.h)."""

    def __init__(self, path, size, fio_path=None, fio_size=0):
        journal = min(max(size // 128 // MIB * MIB, 8 * MIB), 512 * MIB)
        self.zones_offset = HEAD + journal
        self.path, self.fio_path, self.fio_size = path, fio_path or path, fio_size
        self.fio_offset = 0
        usable = size - TAIL
        if fio_path is None:
            self.fio_size = min(4 * GIB, size // 4 // MIB * MIB)
            self.fio_offset = (usable - self.fio_size) // MIB * MIB
            usable = self.fio_offset
        zones = (usable - self.zones_offset) / ZONE
        if fio_path is None and zones < 2:
            raise Refused(f"{path}: {size_text(size)} are too small, take 4 GiB or more (or --quick)")
        # A zone is opened when an eighth of one is left, and fio's must stay closed.
        zones = int(zones) - 0.2 if fio_path is None else zones * 0.95
        self.room = int(zones * ZONE_DATA)

    def open_end(self, zone_count):
        return self.zones_offset + zone_count * ZONE

    def of_blocks(self, size):
        """(offset, bytes) of the place that blocks of `size` bytes fill in a new store."""
        zones, rest = divmod(size, ZONE_DATA)
        return self.zones_offset, zones * ZONE + rest


class Bench:
    """seconds: of each measurement. rounds: references between two measurements of ours."""

    def __init__(self, store, area, folder, checks, seconds, quick=False):
        self.store, self.area, self.folder, self.checks = store, area, folder, checks
        self.seconds, self.quick, self.rounds = seconds, quick, 1 if quick else 2
        self.lines, self.shared, self.unable = [], {}, {}
        self.zones_open, self.big_blocks = 0, 0
        self.written = 0  # bytes of the blocks that were put last, into an empty store
        self.fio = references.Fio(area.fio_path, area.fio_offset, area.fio_size, seconds,
                                  self.guard_fio, apart=area.fio_path != area.path)
        self.nginx = references.Nginx(store.program("bbbench"), folder, seconds)
        self.redis = references.Redis(folder, seconds)

    def say(self, text):
        print(f"              {text}", flush=True)

    def guard_fio(self, own):
        """own: the area that is fio's, not the store's blocks."""
        if self.store.process is not None:
            raise AssertionError("fio beside a running store")
        if own and self.area.fio_path == self.area.path and \
                self.area.open_end(self.zones_open) > self.area.fio_offset:
            raise Unable("fio: the store has grown into the area for fio, take a larger device")

    # ---- our side ----

    def stop(self):
        """A clean stop; remembers how far the store has grown."""
        if self.store.process is not None:
            self.zones_open = self.store.status()["space"]["zones_open"]
            self.store.stop()

    def new_store(self, *options, **more):
        """An empty one, running."""
        self.stop()
        self.store.format()
        self.zones_open = 1
        return self.store.start(*options, **more)

    def blocks_that_fit(self, size, share=1.0):
        return max(1, int(self.area.room * share) // (-(-size // KIB4) * KIB4))

    def read_set(self, most=None):
        """Makes a store of 4 KiB blocks that an earlier run stored, and returns bbbench's options to
        use them: 4 GiB of them, or what the device holds beside the room for other rows. In a quick run
        the daemon is killed after the last reply: what it had acknowledged must be there. most: only so
        many of them are used."""
        count = min(20000 if self.quick else 4 * GIB // KIB4, self.blocks_that_fit(KIB4, 0.6))
        options = ["--seed", SEED, "--size", KIB4, "--stored", min(count, most or count)]
        if self.store.content != "set":
            self.new_store()
            self.say(f"storing {count} blocks of 4 KiB to be read")
            self.store.bench("--ops", "put", "--requests", count, "--seed", SEED, "--size", KIB4)
            if self.quick:
                self.store.kill()
                self.store.start()
                self.store.bench("--ops", "get", "--verify", "--requests", count, "--seed", SEED,
                                 "--size", KIB4, "--stored", count)
            self.stop()
            self.store.content = "set"
        return options

    def sample(self, phase, value=None):
        """bbbench's phase as a Sample: operations per second unless another value is given."""
        more = {"p50_us": phase.latency_us["p50"], "p99_us": phase.latency_us["p99"],
                "p999_us": phase.latency_us["p999"], "user_us": phase.server_user_us_per_op,
                "system_us": phase.server_system_us_per_op, "rss_anon": phase.server_rss_anon,
                "mib_per_s": phase.mib_per_s, "operations": phase.operations,
                "items_per_window": phase.per("window_items", "windows"),
                "flushes_per_window": phase.per("flushes", "windows"),
                "flushes_per_s": phase.server["flushes"] / phase.seconds if phase.server else None,
                "sqes_per_enter": phase.per("sqes", "enters"),
                "windows": phase.server.get("windows"), "flushes": phase.server.get("flushes"),
                "checkpoints": phase.server.get("checkpoints"),
                "device_writes_per_op": phase.per_request("device_writes"),
                "device_reads_per_op": phase.per_request("device_reads"), **phase.more}
        return Sample(phase.operations_per_s if value is None else value,
                      cpu=phase.server_cpu_us_per_op, client=phase.client_cpu_us_per_op,
                      machine=phase.machine_cpu_us_per_op, workers=self.store.workers, **more)

    def put(self, *options, size=KIB4, start=(), traced=False):
        """PUTs into an empty store, for the seconds of a measurement or until its room is used."""
        self.new_store(*(start or (ONE_WORKER if size == KIB4 else ())))
        phases = self.store.bench("--ops", "put", "--size", size, "--seconds", self.seconds,
                                  "--requests", self.blocks_that_fit(size), *options, traced=traced)
        self.stop()
        return phases["put"]

    # ---- taking turns ----

    def interleave(self, ours, others, unit="/s"):
        """Ours, others, ours, others, ours. ours() returns {name: Sample}; others is {name: function},
        each of which returns a Sample. Returns {name: Series}; why one could not be measured is in
        self.unable[name]."""
        found = {}

        def add(name, sample):
            found.setdefault(name, Series(name, unit)).add(sample)

        for name, sample in ours().items():
            add(name, sample)
        for _ in range(self.rounds):
            self.stop()
            for name, function in others.items():
                if name not in self.unable:
                    try:
                        add(name, function())
                    except Unable as reason:
                        self.unable[name] = str(reason)
            for name, sample in ours().items():
                add(name, sample)
        self.stop()
        return found

    # ---- lines ----

    def add(self, *arguments, **more):
        self.lines.append(Line(*arguments, **more))

    def compare(self, row, what, series, name, target=None, sense=">=", note="", ours="ours",
                as_series=None):
        """A line for ours against one reference of interleave(), or why there is none."""
        mine = as_series or series[ours]
        if name in series:
            self.add(row, what, mine, series[name], target, sense, note)
        else:
            self.add(row, what, mine, skipped=f"{name}: {self.unable.get(name, 'not measured')}")
