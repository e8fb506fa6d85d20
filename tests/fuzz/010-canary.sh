#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A planted bug that the fuzzer must find; the targets themselves are run one by one by tests/run.
exec "$(dirname "$0")/run" --canary
