#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns what test programs printed into one line per program of a results file.

    results.py ctest GROUP JUNIT_XML CTEST_OUTPUT LOG_DIR RESULTS
    results.py script GROUP NAME EXIT_STATUS LOG RESULTS [SECONDS]
    results.py sum RESULTS [GROUP]

A line of RESULTS is: group, name, passed, failed, skipped, seconds, log; tab separated.  Programs of
cmocka are counted by test, others as what their last line says, else as one.  Failures are shown
with the end of their output and the path of all of it.  `sum` prints passed, failed, skipped and
with CI=true counts as failed what was skipped, except where a virtual machine is needed.
"""
import os
import re
import sys
import xml.etree.ElementTree as xml

TAIL = 40
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
CMOCKA_RUN = re.compile(r"^\[=+\] .*?(?:Running )?(\d+) test\(s\)", re.M)
CMOCKA_OK = re.compile(r"^\[       OK \]", re.M)
CMOCKA_PASSED = re.compile(r"^\[  PASSED  \] (\d+) test\(s\)", re.M)
CMOCKA_FAILED = re.compile(r"^\[  FAILED  \].*?(\d+) test\(s\), listed below", re.M)
CMOCKA_SKIPPED = re.compile(r"^\[  SKIPPED \].*?(\d+) test\(s\), listed below", re.M)


def total(pattern, text):
    return sum(int(number) for number in pattern.findall(text))


def count_output(text, status):
    """passed, failed, skipped of one program; status: 0 good, 77 skipped, else bad."""
    lines = text.rstrip().splitlines()
    match = COUNTS.match(lines[-1].strip()) if lines else None
    if match:
        passed, failed, skipped = (int(number or 0) for number in match.groups())
    elif CMOCKA_RUN.search(text):
        passed, failed = total(CMOCKA_PASSED, text), total(CMOCKA_FAILED, text)
        skipped = total(CMOCKA_SKIPPED, text)
        passed = max(passed, len(CMOCKA_OK.findall(text)))  # without a summary if it was killed
    elif status == 77:
        return 0, 0, 1
    else:
        return (1, 0, 0) if status == 0 else (0, 1, 0)
    if status not in (0, 77) and failed == 0:
        failed = 1  # it ended before it could count what killed it
    if passed + failed + skipped == 0:
        failed = 1  # a program that tests nothing
    return passed, failed, skipped


def show(name, text, log, what):
    print(f"---- {what}: {name}, the end of its output; all of it: {log}")
    for line in text.rstrip().splitlines()[-TAIL:]:
        print("     " + line)
    print("----")


def record(results, group, name, counts, seconds, log):
    with open(results, "a", encoding="utf-8") as file:
        print(group, name, *counts, f"{seconds:.1f}", log, sep="\t", file=file)


def skipped_lines(text):
    return [line for line in text.splitlines() if "SKIPPED" in line or line.startswith("skip")]


def report(results, group, name, text, status, seconds, log):
    counts = count_output(text, status)
    if counts[1]:
        show(name, text, log, "FAILED")
    elif counts[2]:
        print(f"     {name}: {counts[2]} skipped, see {log}")
        for line in skipped_lines(text)[-5:]:
            print("       " + line)
    record(results, group, name, counts, seconds, log)


def ctest(group, junit, output, log_dir, results):
    os.makedirs(log_dir, exist_ok=True)
    with open(output, encoding="utf-8", errors="replace") as file:
        verdicts = dict(re.findall(r"Test +#\d+: (\S+) \.+ *\**(.+?) +[\d.]+ sec", file.read()))
    for case in xml.parse(junit).getroot().iter("testcase"):
        name, state = case.get("name"), case.get("status")
        text = case.findtext("system-out") or ""
        if state == "fail":
            text += f"\nctest: {verdicts.get(name, 'failed')} after {case.get('time')} s"
        log = os.path.join(log_dir, name + ".log")
        with open(log, "w", encoding="utf-8") as file:
            file.write(text)
        status = {"run": 0, "notrun": 1, "disabled": 77}.get(state, 1)
        if state == "notrun" and case.find("skipped") is not None:
            message = case.find("skipped").get("message") or ""
            status = 77 if "SKIP" in message else 1
            text += "\nctest: not run: " + message
        report(results, group, name, text, status, float(case.get("time") or 0), log)


def script(group, name, status, log, results, seconds="0"):
    with open(log, encoding="utf-8", errors="replace") as file:
        text = file.read()
    report(results, group, name, text, int(status), float(seconds), log)


def sum_up(results, only=None):
    passed = failed = skipped = 0
    with open(results, encoding="utf-8") as file:
        for line in file:
            group, _, good, bad, left = line.rstrip("\n").split("\t")[:5]
            if only not in (None, group):
                continue
            passed, failed = passed + int(good), failed + int(bad)
            if os.environ.get("CI") == "true" and group != "vm":
                failed += int(left)
            else:
                skipped += int(left)
    print(passed, failed, skipped)


if __name__ == "__main__":
    {"ctest": ctest, "script": script, "sum": sum_up}[sys.argv[1]](*sys.argv[2:])
