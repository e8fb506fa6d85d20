# SPDX-License-Identifier: Apache-2.0
"""Figures: series of samples, lines that judge them against a target, the table and the JSON.

Nothing here measures. A ratio is median over median of one run; a spread is (largest - smallest) /
median of a series, and above SPREAD_MAX the line is inconclusive, whichever side of the target it is on.
"""
import statistics

SPREAD_MAX = 0.25
MET, MISSED, INCONCLUSIVE = "met", "MISSED", "inconclusive"
SKIPPED, SHOWN, UNJUDGED = "skipped", "-", "not judged"


class Sample:
    """One measurement: a value, and what stands beside it. CPU in microseconds per operation: cpu of
    the server, client, and machine (everything that ran meanwhile)."""

    def __init__(self, value, cpu=None, client=None, machine=None, workers=None, **more):
        self.value, self.cpu, self.client, self.machine = value, cpu, client, machine
        self.workers, self.more = workers, more

    def as_json(self):
        found = {"value": self.value, "cpu_us": self.cpu, "client_cpu_us": self.client,
                 "machine_cpu_us": self.machine, "workers": self.workers, **self.more}
        return {key: value for key, value in found.items() if value is not None}


class Series:
    """Samples of one thing, in the order in which they were taken."""

    def __init__(self, name, unit="/s"):
        self.name, self.unit, self.samples = name, unit, []

    def add(self, sample):
        self.samples.append(sample)
        return sample

    def values(self):
        return [sample.value for sample in self.samples]

    def median(self):
        return statistics.median(self.values())

    def spread(self):
        values, median = self.values(), self.median()
        return (max(values) - min(values)) / abs(median) if len(values) > 1 and median else 0.0

    def median_of(self, name):
        """Of a value beside the samples; None when none has it."""
        found = [value for sample in self.samples
                 if (value := getattr(sample, name, sample.more.get(name))) is not None]
        return statistics.median(found) if found else None

    def derived(self, name, unit, function):
        """A series of function(sample) for each sample, with the same things beside."""
        series = Series(name, unit)
        for sample in self.samples:
            value = function(sample)
            if value is not None:
                series.add(Sample(value, sample.cpu, sample.client, sample.machine, sample.workers))
        return series

    def system_cpu(self):
        """CPU of the whole machine without the client's, per operation."""
        found = [sample.machine - sample.client for sample in self.samples
                 if sample.machine and sample.client is not None]
        return statistics.median(found) if found else None

    def as_json(self):
        return {"name": self.name, "unit": self.unit, "median": self.median(),
                "spread": self.spread(), "samples": [sample.as_json() for sample in self.samples]}


def number(value):
    """Three significant digits, thousands as k."""
    if value is None:
        return "-"
    for limit, suffix in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e6 if suffix == 'M' else 1e3):.3g}{suffix}"
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


class Line:
    """One line of the table. With a reference the target is for the ratio ours / reference, without
    one for ours itself. sense: ">=" or "<="; target None: only shown."""

    def __init__(self, row, what, ours=None, reference=None, target=None, sense=">=", note="",
                 skipped=None, spread_matters=True):
        self.row, self.what, self.ours, self.reference = row, what, ours, reference
        self.target, self.sense, self.note = target, sense, note
        self.skipped, self.spread_matters = skipped, spread_matters

    def ratio(self):
        if self.ours is None or self.reference is None or not self.reference.median():
            return None
        return self.ours.median() / self.reference.median()

    def spread(self):
        return max((series.spread() for series in (self.ours, self.reference) if series is not None),
                   default=0.0)

    def verdict(self, judge=True):
        if self.skipped is not None:
            return SKIPPED
        if self.target is None:
            return SHOWN
        if not judge:
            return UNJUDGED
        if self.spread_matters and self.spread() > SPREAD_MAX:
            return INCONCLUSIVE
        value = self.ours.median() if self.reference is None else self.ratio()
        good = value >= self.target if self.sense == ">=" else value <= self.target
        return MET if good else MISSED

    def target_text(self):
        if self.target is None:
            return ""
        return f"{self.sense} {number(self.target) if self.target >= 1e4 else f'{self.target:.3g}'}"

    def as_json(self, judge):
        return {"row": self.row, "what": self.what, "target": self.target, "sense": self.sense,
                "ratio": self.ratio(), "spread": self.spread(), "verdict": self.verdict(judge),
                "note": self.note, "skipped": self.skipped,
                "ours": self.ours.as_json() if self.ours else None,
                "reference": self.reference.as_json() if self.reference else None}

    def cells(self, judge):
        def figure(series):
            return f"{number(series.median())} {series.unit}" if series is not None else ""

        if self.ours is None:
            return [str(self.row), self.what, "", "", "", "", "", "", "", self.verdict(judge)]
        ratio = self.ratio()
        reference = f"{self.reference.name} {figure(self.reference)}" if self.reference else ""
        cpu = number(self.ours.median_of("cpu")) if self.ours.median_of("cpu") is not None else ""
        if self.reference is not None and self.reference.median_of("cpu") is not None:
            cpu = f"{cpu or '-'} / {number(self.reference.median_of('cpu'))}"
        workers = self.ours.median_of("workers")
        return [str(self.row), self.what, figure(self.ours), reference,
                f"{ratio:.2f}" if ratio is not None else "",
                self.target_text(),
                f"{100 * self.spread():.0f} %", cpu, f"{workers:g}" if workers else "",
                self.verdict(judge)]


HEADS = ["row", "what", "ours", "reference", "ratio", "target", "spread", "CPU us", "workers", ""]


def table(lines, judge):
    """Text: one line each, below it why it was skipped or what else was seen."""
    rows = [line.cells(judge) for line in lines]
    widths = [max([len(head)] + [len(row[i]) for row in rows]) for i, head in enumerate(HEADS)]

    def laid_out(cells):
        return "  ".join(f"{cell:>{width}}" if i in (0, 4, 6, 8) else f"{cell:<{width}}"
                         for i, (cell, width) in enumerate(zip(cells, widths))).rstrip()
    text = [laid_out(HEADS)]
    for line, cells in zip(lines, rows):
        text.append(laid_out(cells))
        for note in (line.skipped, line.note):
            if note:
                text.append(" " * (widths[0] + 4) + note)
    return "\n".join(text)


def system_note(series):
    """What the machine as a whole spent on our operations, for the note of a line."""
    if series.system_cpu() is None:
        return ""
    client = series.median_of("client")
    return f"CPU us/op: machine without client {number(series.system_cpu())}, client {number(client)}"
