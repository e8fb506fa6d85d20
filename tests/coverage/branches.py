#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Branches that were taken, from a JSON report of gcovr.

    branches.py COVERAGE_JSON UNCOVERED GOAL EXCLUDED_PATTERN LAYER...

Prints a line per file and layer, writes the branches that were not taken to UNCOVERED and exits with
the number of layers below GOAL percent.  A source without a test counts with all of its branches: it
is in the report because the library was built.
"""
import glob
import json
import re
import sys


def percent(taken, total):
    return 100.0 * taken / total if total else 100.0


def excluded_lines(layer, pattern):
    """Lines that the pattern leaves out, and how many lines the sources have."""
    excluded = total = 0
    for path in glob.glob(f"src/{layer}/*.c") + glob.glob(f"src/{layer}/*.h"):
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        excluded += sum(1 for line in lines if pattern.match(line))
        total += len(lines)
    return excluded, total


def branches_of(file):
    """(line, number of branches, numbers of those not taken) of the lines that count."""
    for line in file["lines"]:
        branches = line["branches"]
        if line.get("gcovr/noncode") or not branches:
            continue
        yield (line["line_number"], len(branches),
               [i for i, branch in enumerate(branches) if branch["count"] == 0])


def write_missing(out, path, missing):
    with open(path, encoding="utf-8") as file:
        source = file.read().splitlines()
    for number, total, untaken in missing:
        which = ",".join(str(i) for i in untaken)
        print(f"{path}:{number}: {which} of {total}: {source[number - 1].strip()}", file=out)


def main():
    report, uncovered, goal = sys.argv[1], sys.argv[2], float(sys.argv[3])
    pattern, layers = re.compile(sys.argv[4]), sys.argv[5:]
    with open(report, encoding="utf-8") as file:
        files = json.load(file)["files"]
    below = 0
    with open(uncovered, "w", encoding="utf-8") as out:
        for layer in layers:
            all_taken = all_total = 0
            for file in sorted(files, key=lambda f: f["file"]):
                if not file["file"].startswith(f"src/{layer}/"):
                    continue
                lines = list(branches_of(file))
                total = sum(count for _, count, _ in lines)
                missing = [line for line in lines if line[2]]
                taken = total - sum(len(untaken) for _, _, untaken in missing)
                print(f"  {file['file']:<28} {taken:5} of {total:5} {percent(taken, total):6.1f} %")
                write_missing(out, file["file"], missing)
                all_taken, all_total = all_taken + taken, all_total + total
            good = all_total > 0 and percent(all_taken, all_total) >= goal
            below += 0 if good else 1
            excluded, lines = excluded_lines(layer, pattern)
            print(f"{layer}: {percent(all_taken, all_total):.1f} % of {all_total} branches"
                  f"{'' if good else f', below {goal:g} %'};"
                  f" {excluded} of {lines} lines are assertions and left out")
    print(f"not taken: {uncovered}")
    return below


if __name__ == "__main__":
    sys.exit(main())
