#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# when: quick
# Installing packages, with an apt-get and a dpkg-query of our own: nothing is fetched when nothing
# is missing, services are kept from starting, and the policy is as it was afterwards.
cd "$(dirname "$0")/../.." || exit 1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0 failed=0

check()
{
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        echo "FAILED: $1"
        cat "$folder/output" "$folder/calls" 2>/dev/null
        failed=$((failed + 1))
    fi
}

mkdir "$folder/bin"
cat >"$folder/bin/dpkg-query" <<END
#!/bin/sh
for last; do :; done
[ -e "$folder/installed-\$last" ] && printf installed
END
cat >"$folder/bin/apt-get" <<END
#!/bin/sh
echo "apt-get \$*" >>"$folder/calls"
if [ "\$1" = install ]; then
    sh "$folder/policy" nginx start
    echo "policy said \$?" >>"$folder/calls"
    [ ! -e "$folder/broken" ] || exit 100
    for package; do :; done
    touch "$folder/installed-\$package"
fi
END
printf '#!/bin/sh\necho 0\n' >"$folder/bin/id"
chmod +x "$folder"/bin/*

# install PACKAGE...: in a shell of its own, with what was called in calls
install()
{
    rm -f "$folder/calls"
    PATH=$folder/bin:$PATH bash -euc ". tests/lib/packages.sh
        BB_POLICY=$folder/policy
        bb_packages_install $*" >"$folder/output" 2>&1
}

touch "$folder/installed-a"
install a && [ ! -e "$folder/calls" ]
check "nothing is fetched when nothing is missing" $?
install a b && grep -q '^apt-get install .* b$' "$folder/calls" &&
    ! grep -q ' a ' "$folder/calls" && grep -q 'installing b$' "$folder/output"
check "what is missing is installed, and said" $?
grep -q 'policy said 101' "$folder/calls" && [ ! -e "$folder/policy" ]
check "services are kept from starting, and the policy is gone afterwards" $?

touch "$folder/broken"
! install c && [ ! -e "$folder/policy" ] && grep -q 'could not install c' "$folder/output"
check "a failure is said, and the policy is gone after it too" $?
rm "$folder/broken"

echo 'exit 7 # of the administrator' >"$folder/policy"
install d && grep -q 'policy said 7' "$folder/calls" &&
    grep -qx 'exit 7 # of the administrator' "$folder/policy"
check "a policy that exists is left alone" $?
printf '#!/bin/sh\n# Written by Buddy Blocks while it installs packages.\nexit 101\n' >"$folder/policy"
install e && [ ! -e "$folder/policy" ]
check "a policy that we left behind when we were killed is removed" $?

printf '#!/bin/sh\necho 1000\n' >"$folder/bin/id"
! install f && [ ! -e "$folder/calls" ] && grep -q 'apt-get install --yes f' "$folder/output"
check "without root it names the command" $?
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
