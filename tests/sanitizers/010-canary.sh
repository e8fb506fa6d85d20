#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The sanitizers of this machine find a planted overflow, a planted undefined shift and a planted
# race; without that a clean run means nothing.
folder=${BB_TMP:-$(mktemp -d)}
passed=0 failed=0
calm=()
setarch --addr-no-randomize true 2>/dev/null && calm=(setarch --addr-no-randomize)

# planted WHAT FLAG PATTERN: the program from stdin must end badly and say PATTERN
planted()
{
    cat >"$folder/planted.c"
    if clang -g -pthread "-fsanitize=$2" -fno-sanitize-recover=all -o "$folder/planted" \
        "$folder/planted.c" && ! "${calm[@]}" "$folder/planted" >"$folder/said" 2>&1 &&
        grep -q "$3" "$folder/said"; then
        passed=$((passed + 1))
    else
        echo "FAILED: $1 was not found"
        cat "$folder/said"
        failed=$((failed + 1))
    fi
}

planted "a heap overflow" address heap-buffer-overflow <<'END'
#include <stdlib.h>
int main(int argc, char **argv)
{
    char *bytes = malloc(8);
    bytes[7 + argc] = 1;
    return argv == NULL;
}
END
planted "an undefined shift" undefined 'shift exponent' <<'END'
int main(int argc, char **argv)
{
    return argv == (char **)0 || 1 << (31 + argc);
}
END
planted "a race" thread 'data race' <<'END'
#include <pthread.h>
static int shared;
static void *change(void *argument)
{
    for (int i = 0; i < 100000; i++)
        shared++;
    return argument;
}
int main(void)
{
    pthread_t other;
    pthread_create(&other, 0, change, 0);
    change(0);
    pthread_join(other, 0);
    return 0;
}
END
[ -n "${BB_TMP:-}" ] || rm -rf "$folder"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
