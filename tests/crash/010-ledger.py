#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# when: quick
"""The ledger of explored crashes: its lines are well formed, no run stands there twice, nothing was
found, the commits exist, and where README names tests/crash/LEDGER it quotes the sum and the bound."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LONG = os.path.join(ROOT, "tests", "crash", "long")


def sum_of(ledger):
    """Output and exit status of `long --sum` on it."""
    result = subprocess.run([sys.executable, LONG, "--sum"], capture_output=True, text=True,
                            env={**os.environ, "BB_LEDGER": ledger})
    return result.returncode, result.stdout, result.stderr


def faults_of(ledger, readme):
    status, output, error = sum_of(ledger)
    if status != 0:
        return [error.strip() or output.strip()]
    faults = []
    images = re.search(r"([\d,]+) images", output).group(1)
    bound = re.search(r"below (\S+) of all images", output)
    for paragraph in re.split(r"\n\s*\n|\n(?=\|)", readme):
        if "tests/crash/LEDGER" in paragraph:
            quoted = re.search(r"([\d,]{5,}) (?:\w+ ){0,2}images", paragraph)
            if quoted is None or quoted.group(1) != images:
                faults.append(f"README quotes {quoted and quoted.group(1)} images, "
                              f"the ledger has {images}")
            if bound and bound.group(1) not in paragraph:
                faults.append(f"README does not quote the bound {bound.group(1)}")
    return faults


def unknown_commits(ledger):
    with open(ledger, encoding="utf-8") as file:
        commits = {line.split("\t")[1] for line in file if not line.startswith("#")}
    shallow = subprocess.run(["git", "-C", ROOT, "rev-parse", "--is-shallow-repository"],
                             capture_output=True, text=True).stdout.strip()
    if shallow != "false":  # a copy without history, or with a part of it
        return []
    return [commit for commit in sorted(commits)
            if subprocess.run(["git", "-C", ROOT, "cat-file", "-e", f"{commit}^{{commit}}"],
                              capture_output=True).returncode != 0]


def canary(ledger, scratch):
    """A line twice, one with a violation, one cut short, and a README that is wrong are noticed."""
    with open(ledger, encoding="utf-8") as file:
        lines = file.readlines()
    wrong = [lines + lines[-1:], lines + ["2000-01-01\tx\trandom\t1-1\t1\t1\t1\t1\n"],
             lines + ["2000-01-01\tx\n"]]
    for content in wrong:
        with open(scratch, "w", encoding="utf-8") as file:
            file.writelines(content)
        if sum_of(scratch)[0] == 0:
            return ["a wrong ledger was not noticed"]
    if not faults_of(ledger, "of 12,345 images (tests/crash/LEDGER)"):
        return ["a wrong quotation was not noticed"]
    return []


def main():
    ledger = os.path.join(ROOT, "tests", "crash", "LEDGER")
    scratch = os.path.join(os.environ.get("BB_TMP", "/tmp"), f"ledger-{os.getpid()}")
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        faults = faults_of(ledger, file.read())
    faults += [f"no commit {commit}" for commit in unknown_commits(ledger)]
    try:
        faults += canary(ledger, scratch)
    finally:
        if os.path.exists(scratch):
            os.unlink(scratch)
    print("\n".join(faults) or sum_of(ledger)[1].strip())
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
