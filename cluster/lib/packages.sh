# shellcheck shell=bash disable=SC2154  # sourced after settings.sh and progress.sh, whose names it uses
# Install the packages of the programs that are missing, and only those. programs.list says which program is in which package.

# `su` without a dash leaves root a PATH without the folders of the system's programs.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# find_program PROGRAM [FOLDER ...]: print its file, from one of the folders or, if none is named, from the PATH.
# Only files count: `command -v` would be satisfied by a shell function that is named like the program it calls.
find_program() {
  local program=$1 folder; shift
  if [ $# -eq 0 ]; then type -P "$program"; return; fi
  for folder in "$@"; do
    if [ -x "$folder/$program" ]; then echo "$folder/$program"; return; fi
  done
  return 1
}

# listed SET ...: the lines of programs.list of these sets.
listed() {
  local set program package folders
  while read -r set program package folders; do
    if [[ " $* " == *" $set "* ]]; then echo "$program $package $folders"; fi
  done < "$cluster/lib/programs.list"
}

# missing_programs SET ...: a line for each that there is no file of: the program and its package.
missing_programs() {
  local program package folders
  listed "$@" | while read -r program package folders; do
    # shellcheck disable=SC2086  # patterns of folders
    find_program "$program" $folders >/dev/null || echo "$program $package"
  done
}

# provide_programs SET ...: afterwards each of the sets' programs is a file that find_program finds.
provide_programs() {
  local missing packages
  missing=$(missing_programs "$@")
  [ -n "$missing" ] || return 0
  mapfile -t packages < <(awk '{print $2}' <<<"$missing" | sort -u)
  install_packages "${packages[@]}"
  missing=$(missing_programs "$@")
  [ -z "$missing" ] || fail "$(awk '{printf "%s%s (of package %s)", (NR > 1 ? ", " : ""), $1, $2}' <<<"$missing") not found on the PATH, though installed"
}

install_packages() {
  [ "$(id -u)" = 0 ] || fail "missing packages: $*. Run this as root, which installs them, or install them yourself: apt-get install $*"
  find_program apt-get >/dev/null ||
    fail "missing packages: $*. This machine has no apt-get: install them with its package manager (the names are Debian's)"
  if [[ " $* " == *" postgresql "* ]]; then keep_postgresql_stopped; fi
  with_progress "installing $*" last_line apt_get_install "$@"
}

# A new machine has no package lists, or old ones, and may be updating itself: wait for its lock.
# If one of the machine's sources does not answer, the others may still have what is needed.
apt_get_install() {
  apt-get update -q -o DPkg::Lock::Timeout=300 </dev/null || true
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# The tests start servers of their own; the package shall not start another.
keep_postgresql_stopped() {
  mkdir -p /etc/postgresql-common
  grep -qs create_main_cluster /etc/postgresql-common/createcluster.conf ||
    echo "create_main_cluster = false" >> /etc/postgresql-common/createcluster.conf
}

# program_file PROGRAM: the file of a program that programs.list names.
program_file() {
  local set program package folders
  while read -r set program package folders; do
    # shellcheck disable=SC2086  # patterns of folders
    if [ "$program" = "$1" ]; then find_program "$program" $folders; return; fi
  done < "$cluster/lib/programs.list"
  return 1
}
