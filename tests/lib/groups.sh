# SPDX-License-Identifier: Apache-2.0
# The groups of tests/run: how each finds and runs its tests.  Sourced by tests/run.

# shellcheck disable=SC2034  # read by tests/run
build_ok=no
ctest_command=(ctest)
# The address space of a recent kernel is too random for the sanitizers of Debian 12.
calm=()
setarch --addr-no-randomize true 2>/dev/null && calm=(setarch --addr-no-randomize)

# What a test may take stands in its head for a machine of two processors; others are slower, or busy.
SLOWER=4

# result GROUP NAME PASSED FAILED SKIPPED SECONDS LOG
result()
{
    (
        IFS=$'\t'
        echo "$*" >>"$RESULTS"
    )
}

sum_up()
{
    python3 tests/lib/results.py sum "$RESULTS" "$@"
}

# group_run GROUP: runs it and prints its line; a group in which nothing was found is a failure
group_run()
{
    local started=$SECONDS passed failed skipped
    mkdir -p "$LOGS/$1"
    case $1 in
    build) group_build ;;
    sanitizers) group_sanitizers ;;
    fuzz)
        ctest_run fuzz "$BB_BUILD" fuzz -L '^fuzz$'
        group_fuzz
        scripts_run fuzz
        ;;
    *)
        ctest_run "$1" "$BB_BUILD" "$1" -L "^$1\$"
        scripts_run "$1"
        ;;
    esac
    if ! grep -q "^$1	" "$RESULTS"; then
        if [ "$BB_PACE" = quick ] && [ "$1" != unit ]; then
            echo "     $1: nothing that runs with --quick"
        else
            echo "     $1: no test was found"
            result "$1" none 0 1 0 0 -
        fi
    fi
    read -r passed failed skipped < <(sum_up "$1")
    printf '%-12s %5d s   %s passed, %s failed, %s skipped\n' "$1" $((SECONDS - started)) \
        "$passed" "$failed" "$skipped"
}

# build_tree NAME OPTION...: configures and builds build/NAME; all of it, so that what does not
# compile is seen, unless BUILD_TARGETS is a pattern (% for anything) of what to build
build_tree()
{
    local name=$1 log=$LOGS/build/$1.log started=$SECONDS targets=()
    shift
    mkdir -p "$LOGS/build"
    if cmake -G Ninja -S . -B "build/$name" "$@" >"$log" 2>&1 && build_targets "$name" &&
        ninja -C "build/$name" -j "$(nproc)" "${targets[@]}" >>"$log" 2>&1; then
        result "$BUILD_GROUP" "build-$name" 1 0 0 $((SECONDS - started)) "$log"
        return 0
    fi
    echo "---- FAILED: build of build/$name, the end of its output; all of it: $log"
    tail -n 40 "$log" | sed 's/^/     /'
    echo ----
    result "$BUILD_GROUP" "build-$name" 0 1 0 $((SECONDS - started)) "$log"
    return 1
}

# Sets targets from BUILD_TARGETS, or to the programs of ctest's label BUILD_LABEL.
build_targets()
{
    if [ -n "${BUILD_LABEL:-}" ]; then
        mapfile -t targets < <(ctest --test-dir "build/$1" -N -L "^$BUILD_LABEL\$" |
            sed -n 's/^ *Test *#[0-9]*: //p')
        [ "${#targets[@]}" -gt 0 ]
        return
    fi
    [ -n "${BUILD_TARGETS:-}" ] || return 0
    mapfile -t targets < <(ninja -C "build/$1" -t targets all |
        sed -n "s/^\(${BUILD_TARGETS/\%/[a-z0-9_]*}\): .*/\1/p")
    [ "${#targets[@]}" -gt 0 ]
}

group_build()
{
    BUILD_GROUP=build
    build_tree release -DCMAKE_BUILD_TYPE=RelWithDebInfo && build_ok=yes
}

# ctest_run GROUP TREE NAME SELECTION...: the programs that ctest knows by the selection
ctest_run()
{
    local group=$1 tree=$2 name=$3 not='long'
    shift 3
    case $BB_PACE in
    long) not='none' ;;
    quick) not='long|slow' ;;
    esac
    [ "$group" != sanitizers ] || not="$not|no-sanitizer"
    set -- "$@" -LE "^($not)\$"
    ctest --test-dir "$tree" -N "$@" 2>/dev/null | grep -q '^ *Test *#' || return 0
    rm -f "$LOGS/$group/$name.xml"
    BB_TEST_NAME=$BB_TEST_RUN/$group "${ctest_command[@]}" --test-dir "$tree" -j 2 --no-tests=ignore \
        --output-junit "$LOGS/$group/$name.xml" --test-output-size-passed 16000000 \
        --test-output-size-failed 16000000 "$@" >"$LOGS/$group/$name.ctest" 2>&1 9>&-
    if [ -s "$LOGS/$group/$name.xml" ]; then
        python3 tests/lib/results.py ctest "$group" "$LOGS/$group/$name.xml" \
            "$LOGS/$group/$name.ctest" "$LOGS/$group/$name" "$RESULTS"
    else
        cat "$LOGS/$group/$name.ctest"
        result "$group" "$name-ctest" 0 1 0 0 "$LOGS/$group/$name.ctest"
    fi
    leftovers_clear BB_TEST_NAME "$BB_TEST_RUN/$group" "$BB_ROOT/build/scratch" ||
        result "$group" "$name-leftovers" 0 1 0 0 -
}

# scripts_find GROUP: its scripts that belong to this pace, in order
scripts_find()
{
    local script when
    case $1 in
    vm | plants) [ ! -x "tests/$1/run" ] || echo "tests/$1/run" ;;
    esac
    for script in "tests/$1"/[0-9][0-9][0-9]-*.sh "tests/$1"/[0-9][0-9][0-9]-*.py "tests/$1"/*/run; do
        if [ ! -f "$script" ] || [ ! -x "$script" ]; then
            continue
        fi
        when=$(script_says "$script" when)
        case $BB_PACE-$when in
        quick-quick | normal- | normal-quick | long-*) echo "$script" ;;
        esac
    done
}

# script_says SCRIPT WORD: the value of its comment "# WORD: value"
script_says()
{
    head -n 20 "$1" | sed -n "s/^# $2: *//p" | head -n 1
}

# scripts_run GROUP: two at a time, each in a process group, with a time limit, ports and a folder
scripts_run()
{
    local script number=0 running=0
    while read -r script; do
        if [ "$running" -eq 2 ]; then
            wait -n
            running=1
        fi
        script_run "$1" "$script" "$number" 9>&- </dev/null &
        running=$((running + 1)) number=$((number + 1))
    done < <(scripts_find "$1")
    wait
}

# report_script GROUP NAME STATUS LOG SECONDS: counts and shows it, one at a time
report_script()
{
    (
        flock 8
        python3 tests/lib/results.py script "$1" "$2" "$3" "$4" "$RESULTS" "$5"
    ) 8>>"$LOGS/.report-lock"
}

script_run()
{
    local group=$1 script=$2 name status limit started=$SECONDS log
    name=${script#tests/"$group"/} name=${name%/run}
    [ "$name" != run ] || name=$group
    log=$LOGS/$group/$name.log
    limit=$(script_says "$script" timeout)
    export BB_TEST_NAME=$BB_TEST_RUN/$group/$name BB_TMP=$BB_ROOT/build/scratch/$group-$name
    export BB_PORT=$((21000 + 40 * ($3 % 50)))
    mkdir -p "$BB_TMP"
    limit=$((${limit:-300} * SLOWER))
    timeout --kill-after=20 "$limit" "$script" >"$log" 2>&1
    status=$?
    [ "$status" -ne 124 ] || echo "no end after $limit s" >>"$log"
    if ! leftovers_clear BB_TEST_NAME "$BB_TEST_NAME" "$BB_TMP" >"$log.left"; then
        cat "$log.left" >>"$log"
        [ "$status" -ne 0 ] || status=1
    fi
    rm -f "$log.left"
    report_script "$group" "$name" "$status" "$log" $((SECONDS - started))
    if [ "$status" -eq 0 ] || [ "$status" -eq 77 ]; then
        rm -rf "$BB_TMP"
    else
        echo "     what $name left is in $BB_TMP"
    fi
}

# Each libFuzzer program of tests/fuzz for a while, from the committed corpus and what earlier runs
# on this machine found; all together for about 35 s.
group_fuzz()
{
    local target count seconds
    BUILD_GROUP=fuzz
    [ -f tests/fuzz/CMakeLists.txt ] || return 0
    BUILD_TARGETS='fuzz_%' build_tree fuzz -DBB_FUZZ=ON -DCMAKE_C_COMPILER=clang || return 0
    count=$(find build/fuzz/tests/fuzz -maxdepth 1 -type f -name 'fuzz_*' -executable | wc -l)
    [ "$count" -gt 0 ] || return 0
    seconds=$((70 / count))
    [ "$BB_PACE" != long ] || seconds=600
    for target in build/fuzz/tests/fuzz/fuzz_*; do
        [ -f "$target" ] && [ -x "$target" ] && fuzz_run "$target" "$seconds" &
        [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
    done
    wait
}

fuzz_run()
{
    local name=${1##*/fuzz_} log status started=$SECONDS units
    log=$LOGS/fuzz/$name.log
    mkdir -p "build/fuzz-corpus/$name" "build/scratch/fuzz-$name"
    BB_TEST_NAME=$BB_TEST_RUN/fuzz/$name ${calm[@]+"${calm[@]}"} "$1" -max_total_time="$2" -timeout=60 -print_final_stats=1 \
        -artifact_prefix="build/scratch/fuzz-$name/" "build/fuzz-corpus/$name" \
        "tests/fuzz/corpus/$name" >"$log" 2>&1 </dev/null 9>&-
    status=$?
    units=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$status" -eq 0 ] && [ "${units:-0}" -lt 1000 ]; then
        echo "only ${units:-0} inputs in $2 s: this is no fuzzing" >>"$log"
        status=1
    fi
    report_script fuzz "$name" "$status" "$log" $((SECONDS - started))
    rmdir "build/scratch/fuzz-$name" 2>/dev/null
}

# Both trees are built by clang, the first in full, so that its warnings are seen as well.  Random tests take the pace
# "quick" here.
group_sanitizers()
{
    local pace=$BB_PACE
    [ "$pace" = long ] || BB_PACE=quick
    ctest_command=(${calm[@]+"${calm[@]}"} ctest)
    BUILD_GROUP=sanitizers
    build_tree address -DBB_SANITIZE=address -DCMAKE_C_COMPILER=clang &&
        ctest_run sanitizers build/address address -L '^(unit|crash)$'
    BUILD_LABEL=threads build_tree thread -DBB_SANITIZE=thread -DCMAKE_C_COMPILER=clang &&
        ctest_run sanitizers build/thread thread -L '^threads$'
    ctest_command=(ctest) BB_PACE=$pace
    scripts_run sanitizers
}
