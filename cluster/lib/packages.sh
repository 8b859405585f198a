# shellcheck shell=bash
# Install the system packages that are missing, and only those.

# needs COMMAND:PACKAGE ...
needs() {
  local pair missing=()
  for pair in "$@"; do type -P "${pair%:*}" >/dev/null || missing+=("${pair#*:}"); done
  install_packages "${missing[@]}"
}

# The folder of the CNI plugins, which is not on the PATH and differs between distributions.
cni_folder() {
  local folder
  for folder in /usr/lib/cni /usr/libexec/cni /opt/cni/bin; do
    if [ -x "$folder/bridge" ] && [ -x "$folder/portmap" ]; then echo "$folder"; return; fi
  done
  return 1
}

install_packages() {
  [ $# -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || fail "missing: $*; install them, or run this as root"
  command -v apt-get >/dev/null || fail "missing: $* (names of Debian's packages); this machine has no apt, install them with its package manager"
  say "installing $*"
  local log; log=$(mktemp)
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2; rm -f "$log"
    fail "apt-get could not install $*"
  fi
  rm -f "$log"
}
