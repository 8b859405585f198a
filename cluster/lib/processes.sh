# shellcheck shell=bash disable=SC2154  # sourced after settings.sh and progress.sh, whose names it uses
# The cluster's parts are plain processes: $run/NAME.pid says which one is NAME, $logs/NAME.log what it said.

# A pid alone may belong to another program by now, so its start time (field 22 of proc(5)'s stat) is kept beside it.
# The second field may contain spaces, hence the cut at its closing bracket. A zombie does not count as running.
start_time() {
  local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086  # split into fields on purpose
  set -- ${stat##*) }
  [ "$1" != Z ] && echo "${20}"
}

alive() {
  local pid started
  { read -r pid started _ < "$run/$1.pid"; } 2>/dev/null || return 1
  [ "$(start_time "$pid")" = "$started" ]
}

# ensure NAME COMMAND...: COMMAND runs as NAME, with the configuration files it has now; nothing happens when it already does.
ensure() {
  local name=$1; shift
  local pid digest; digest=$(digest_of "$@")
  if alive "$name"; then
    if [ "$(cut -d' ' -f3 "$run/$name.pid")" = "$digest" ]; then return; fi
    say "restarting $name: its configuration changed"
    stop "$name"
  else
    say "starting $name"
  fi
  if [ -f "$logs/$name.log" ]; then mv "$logs/$name.log" "$logs/$name.log.1"; fi
  # A session of its own lets it outlive this shell; no descriptor of the caller stays open, or a CI step would never end.
  pid=$( (cd / && exec </dev/null >"$logs/$name.log" 2>&1 && close_others && exec setsid "$@") & echo $!)
  echo "$pid $(start_time "$pid" || true) $digest" > "$run/$name.pid"
}

close_others() {
  local descriptor
  for descriptor in "/proc/$BASHPID/fd/"*; do
    descriptor=${descriptor##*/}
    # 255 is where bash reads this script from, and is closed by itself.
    if [ "$descriptor" -gt 2 ] && [ "$descriptor" -ne 255 ]; then exec {descriptor}>&-; fi
  done
}

# What a process is made from: its command line and every file of ours that it names.
digest_of() {
  local word
  {
    printf '%s\n' "$@"
    for word in "$@"; do
      case ${word#*=} in "$config"/*) cat "${word#*=}" ;; esac
    done
  } | sha256sum | cut -c1-16
}

# wait_for NAME SECONDS COMMAND...: until COMMAND succeeds; process NAME has to live so long.
wait_for() {
  local name=$1 deadline=$((SECONDS + $2)) next=$((SECONDS + progress_seconds)); shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $next ]; then
      say "  waiting for $name ($*), for $((deadline - SECONDS)) s more"
      next=$((SECONDS + progress_seconds))
    fi
    alive "$name" || give_up "$name has died" "$name"
    [ $SECONDS -lt $deadline ] || give_up "$name runs but does not become ready ($*)" "$name"
    sleep 0.2
  done
}

give_up() {
  say "--- the end of $logs/$2.log"
  tail -n 15 "$logs/$2.log" >&2 || true
  fail "$1. 'cluster/down --purge' and 'cluster/up' begin anew"
}

stop() {
  local pid tries=0
  if alive "$1"; then
    read -r pid _ < "$run/$1.pid"
    kill "$pid"
    while alive "$1"; do
      tries=$((tries + 1))
      if [ $tries -eq 50 ]; then kill -9 "$pid"; fi
      sleep 0.2
    done
  fi
  rm -f "$run/$1.pid"
}
