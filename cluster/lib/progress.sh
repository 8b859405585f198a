# shellcheck shell=bash  # sourced after settings.sh, whose names it uses
# Run what takes long with its output in a log, and say at regular intervals how far it is.

progress_seconds=${MINTAKA_PROGRESS_SECONDS:-15}

# with_progress WHAT HOW_FAR COMMAND ...: say WHAT, run COMMAND, and say every few seconds WHAT, what `HOW_FAR LOG` prints, and the time so far.
# The end of COMMAND's output is shown if it fails. In a function given as COMMAND `set -e` is off: chain its commands with `&&`.
with_progress() {
  local what=$1 how_far=$2 log reporter status=0; shift 2
  log=$(mktemp)
  say "$what"
  # This shell alone holds the pipe's other end: however it ends, the reporter reads that end of file and ends too.
  exec 6> >(report_progress "$what" "$how_far" "$log" >&2)
  reporter=$!
  "$@" >"$log" 2>&1 6>&- || status=$?
  exec 6>&-
  wait "$reporter" || true
  if [ $status -ne 0 ]; then
    tail -n 50 "$log" >&2
    say "failed: $what"
  fi
  rm -f "$log"
  return $status
}

report_progress() {
  local what=$1 how_far=$2 log=$3 started=$SECONDS next detail status
  next=$((started + progress_seconds))
  while true; do
    status=0
    read -rt 1 _ || status=$?
    [ $status -gt 128 ] || return 0   # not the time-out: the end of file
    [ $SECONDS -ge $next ] || continue
    next=$((next + progress_seconds))
    detail=$("$how_far" "$log" 2>/dev/null || true)
    say "  $what: ${detail:+$detail, }$(duration $((SECONDS - started))) so far"
  done
}

duration() { if [ "$1" -lt 60 ]; then echo "$1 s"; else echo "$(($1 / 60)) min $(($1 % 60)) s"; fi; }

# What a log says of how far something is.
last_line() { tail -n 1 "$1" | tr -d '\r' | cut -c1-100; }
