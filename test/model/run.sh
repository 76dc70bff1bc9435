#!/usr/bin/env bash
# Has spin try every order of events of lease.pml, and shows that it would find what it is to find: each mutation must be refuted.
#   test/model/run.sh            about two minutes of one core, on as many as there are
#   test/model/run.sh --long     more faults at once besides
#   test/model/run.sh NO_FENCE   one mutation, and the events that lead to its failure
# The last line is `N passed, N failed`. Needs spin (a Debian package of that name) and gcc.
set -uo pipefail
model=$(cd "$(dirname "$0")" && pwd)/lease.pml
if ! command -v spin >/dev/null || ! command -v gcc >/dev/null; then
  echo 'spin and gcc are needed: apt-get install spin gcc' >&2
  exit 2
fi

# VERDICT DEFINES..., the longest first. holds: no assertion fails in any order of events. ends: an accepted job does, in every
# order (LTL). refuted: with the mutation that is named first, an assertion fails.
searches=(
  'holds JOBS=2 COORDINATOR_FAULTS=1'
  'holds JOBS=2 WORKER_FAULTS=1'
  'holds WORKER_FAULTS=1 SQL=1 CANCELS=1 LOST_ANSWERS=1'
  'holds COORDINATOR_FAULTS=1 SQL=1 CANCELS=1 LOST_ANSWERS=1'
  'ends COORDINATOR_FAULTS=1 SQL=1'
  'refuted NO_ADOPTION COORDINATOR_FAULTS=2'
  'refuted REAPER_ALWAYS_SPENDS WORKER_FAULTS=1 COORDINATOR_FAULTS=1'
  'refuted LATE_HELLO_TAKES WORKER_FAULTS=1 COORDINATOR_FAULTS=1'
  'refuted HELLO_WHILE_EXPIRED WORKER_FAULTS=1 COORDINATOR_FAULTS=1'
  'refuted NO_FENCE WORKER_FAULTS=1'
  'refuted RECEIPT_BEFORE_COMMIT SQL=1'
  'refuted REAPER_IGNORES_TTL'
  'refuted RESUME_TRUSTS_WORKER WORKER_FAULTS=1'
  'refuted HAND_OFF_WITHOUT_WINDOW JOBS=2'
  'refuted OUTCOME_UNCHECKED SQL=1'
  'refuted IGNORE_KEY_SHARE SQL=1 WORKER_FAULTS=1'
)
long_searches=('holds WORKER_FAULTS=1 COORDINATOR_FAULTS=1' 'holds COORDINATOR_FAULTS=2' 'holds WORKER_FAULTS=2')

# What is mutated is refuted within seconds, so what would take time is the optimizing compiler.
compile() {
  local verdict=$1
  shift
  spin -a "$@" "$model" >spin.txt 2>&1 || return
  case $verdict in
    holds) gcc -O2 -DSAFETY "${common[@]}" ;;
    refuted) gcc -O0 -DSAFETY -DT_REVERSE "${common[@]}" ;;
    ends) gcc -O2 "${common[@]}" ;;
  esac
}
common=(-w -DCOLLAPSE -DNOREDUCE -DVECTORSZ=4096 -DMEMLIM=3000 -o pan pan.c)

# The events of the last failure, and what failed.
story() {
  spin -t "$@" "$model" | sed 's/^ *//' | grep -E '^(job|jobs|session|worker|coordinator|lease|the|a transaction|spin: text) ' | tail -60
}

# search VERDICT DEFINES...: one line, and more where it is not as it should be. Runs in a folder of its own.
search() {
  local verdict=$1 wanted found=unknown states errors liveness=()
  shift
  local defines=("${@/#/-D}")
  wanted=${verdict/ends/holds}
  if [ "$verdict" = ends ]; then
    defines+=(-DLIVENESS)
    liveness=(-a)
  fi
  # The trail of a failure is written beside the model's name.
  ln -s "$model" lease.pml && model=lease.pml
  compile "$verdict" "${defines[@]}" && ./pan -m200000 -n -w24 "${liveness[@]}" >report 2>&1
  states=$(awk '/states, stored/ { print $1; exit }' report)
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' report | head -1)
  if grep -qE 'assertion violated|acceptance cycle \(' report; then found=refuted; fi
  if [ "$errors" = 0 ] && ! grep -qE 'Search not completed|max search depth too small|out of memory' report; then found=holds; fi
  printf '%-8s %-76s %9s states %4d s\n' $found "$([ "$verdict" != ends ] || echo 'an accepted job ends (LTL): ')$*" "${states:-?}" "$SECONDS"
  if [ $found != "$wanted" ]; then
    printf 'FAILED: it should be: %s\n' "$wanted"
    tail -n 20 spin.txt report
    if [ -f lease.pml.trail ]; then story "${defines[@]}"; fi
  elif [ -n "${SHOW_STORY:-}" ]; then
    story "${defines[@]}"
  fi
}

if [ "${1:-}" = --one ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  cd "$folder" || exit 2
  # shellcheck disable=SC2086
  search $2 >said 2>&1
  cat said
  ! grep -q '^FAILED' said
  exit
fi

case ${1:-} in
  '') ;;
  --long) searches=("${long_searches[@]}" "${searches[@]}") ;;
  *)
    SHOW_STORY=yes
    export SHOW_STORY
    wanted=$1
    all=("${searches[@]}")
    searches=()
    for one in "${all[@]}"; do [[ "$one " != "refuted $wanted "* ]] || searches=("$one"); done
    ;;
esac
report=$(mktemp)
trap 'rm -f "$report"' EXIT
printf '%s\0' "${searches[@]}" | xargs -0 -P "$(nproc)" -I{} bash "$0" --one {} | tee "$report"
failed=$(grep -c '^FAILED' "$report")
passed=$(($(grep -cE '^(holds|refuted|unknown) ' "$report") - failed))
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -eq "${#searches[@]}" ] && [ "$passed" -gt 0 ]
