#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# when: quick
"""Each rule of rules.py on this repository."""
import os
import sys

import rules

root = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
passed = 0
for rule in rules.RULES:
    found = rules.violations(root, rule)
    print(f"{'FAILED' if found else 'ok':8}{rule.__name__}: {rule.__doc__.split(chr(10))[0]}")
    for line in found:
        print("        " + line)
    passed += not found
print(f"{passed} passed, {len(rules.RULES) - passed} failed")
sys.exit(passed != len(rules.RULES))
