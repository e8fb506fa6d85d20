#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# The benchmark for about a minute, on small loop devices of its own: it prints ratios, and is judged
# by correctness alone.
exec "$(dirname "$0")/run" --quick
