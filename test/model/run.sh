#!/usr/bin/env bash
# Has spin try every order of events of lease.pml, and shows that it would find what it is to find: each mutation must be refuted.
#   test/model/run.sh            about two minutes on one core
#   test/model/run.sh --long     more faults at once besides
#   test/model/run.sh NO_FENCE   one mutation, and the events that lead to its failure
# The last line is `N passed, N failed`. Needs spin (a Debian package of that name) and gcc.
set -uo pipefail
model=$(cd "$(dirname "$0")" && pwd)/lease.pml
if ! command -v spin >/dev/null || ! command -v gcc >/dev/null; then
  echo 'spin and gcc are needed: apt-get install spin gcc' >&2
  exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
cp "$model" .
only=${1:-}
passed=0
failed=0

# search COMPILER_OPTIONS SEARCH_OPTIONS DEFINES...: its report is in the file `report`.
search() {
  local compiler_options=$1 search_options=$2
  shift 2
  defines=("${@/#/-D}")
  started=$SECONDS
  rm -f ./*.trail report
  # shellcheck disable=SC2086
  spin -a "${defines[@]}" lease.pml >spin.txt 2>&1 &&
    gcc -O2 -w -DCOLLAPSE -DNOREDUCE -DVECTORSZ=4096 -DMEMLIM=3000 $compiler_options -o pan pan.c &&
    ./pan -m200000 -n -w24 $search_options >report 2>&1
}

# The events of the last failure, and what failed.
story() {
  spin -t "${defines[@]}" lease.pml | sed 's/^ *//' | grep -E '^(job|jobs|session|worker|coordinator|lease|the|a transaction|spin: text) ' | tail -60
}

judge() {
  local wanted=$1 name=$2 states errors found
  states=$(awk '/states, stored/ { print $1; exit }' report)
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' report | head -1)
  found=unknown
  if grep -qE 'assertion violated|acceptance cycle \(' report; then found=refuted; fi
  if [ "$errors" = 0 ] && ! grep -qE 'Search not completed|max search depth too small|out of memory' report; then found=holds; fi
  if [ $found = "$wanted" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  printf '%-8s %-76s %9s states %4d s\n' $found "$name" "${states:-?}" $((SECONDS - started))
  if [ $found != "$wanted" ]; then
    printf 'FAILED: it should be: %s\n' "$wanted"
    tail -n 20 spin.txt
    tail -n 20 report
    if [ -f lease.pml.trail ]; then story; fi
  fi
}

# holds DEFINES...: no assertion fails in any order of events.
holds() {
  if [ "$only" = '' ] || [ "$only" = --long ]; then
    search -DSAFETY '' "$@"
    judge holds "$*"
  fi
}

# refuted MUTATION DEFINES...: with that broken one does.
refuted() {
  if [ "$only" = '' ] || [ "$only" = --long ] || [ "$only" = "$1" ]; then
    # Found within seconds, so what takes time is the compiler.
    search '-O0 -DSAFETY -DT_REVERSE' '' "$@"
    judge refuted "$*"
    if [ "$only" = "$1" ]; then story; fi
  fi
}

holds JOBS=2 WORKER_FAULTS=1
holds JOBS=2 COORDINATOR_FAULTS=1
holds WORKER_FAULTS=2
holds WORKER_FAULTS=1 SQL=1 CANCELS=1 LOST_ANSWERS=1
holds COORDINATOR_FAULTS=1 SQL=1 CANCELS=1 LOST_ANSWERS=1
if [ "$only" = '' ] || [ "$only" = --long ]; then
  search '' -a LIVENESS COORDINATOR_FAULTS=1 SQL=1
  judge holds 'an accepted job ends (LTL): COORDINATOR_FAULTS=1 SQL=1'
fi
if [ "$only" = --long ]; then
  holds WORKER_FAULTS=1 COORDINATOR_FAULTS=1
  holds COORDINATOR_FAULTS=2
fi

refuted NO_FENCE WORKER_FAULTS=1
refuted RECEIPT_BEFORE_COMMIT SQL=1
refuted REAPER_IGNORES_TTL
refuted RESUME_TRUSTS_WORKER WORKER_FAULTS=1
refuted HAND_OFF_WITHOUT_WINDOW JOBS=2
refuted OUTCOME_UNCHECKED SQL=1
refuted IGNORE_KEY_SHARE SQL=1 WORKER_FAULTS=1
refuted LATE_HELLO_TAKES WORKER_FAULTS=1 COORDINATOR_FAULTS=1
refuted HELLO_WHILE_EXPIRED WORKER_FAULTS=1 COORDINATOR_FAULTS=1
refuted REAPER_ALWAYS_SPENDS WORKER_FAULTS=1 COORDINATOR_FAULTS=1
refuted NO_ADOPTION COORDINATOR_FAULTS=2

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
