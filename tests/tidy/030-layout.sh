#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# when: quick
# clang-format decides layout; a badly laid out file must be refused, or nothing was checked.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v clang-format >/dev/null; then
    echo "skipped: clang-format is not installed"
    exit 77
fi
mapfile -t files < <(find include src tools tests -name '*.[ch]' | sort)
passed=0 failed=0 bad=0
while read -r count file; do
    echo "$file: $count places; clang-format -i $file"
    bad=$((bad + 1))
done < <(clang-format --dry-run --Werror "${files[@]}" 2>&1 | sed -n 's/^\([^:]*\):.* error: .*/\1/p' |
    uniq -c)
if [ "$bad" -eq 0 ]; then
    passed=1
else
    echo "$bad of ${#files[@]} files are not laid out"
    failed=1
fi
if printf 'int  a( void )\n{ return 1 ;}\n' | clang-format --dry-run --Werror 2>/dev/null; then
    echo "a badly laid out file passed"
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
