# shellcheck shell=bash  # sourced: needs debootstrap
# Fill a folder with a Debian system, from the mirror that the machine's own apt uses.

# install_debian RELEASE FOLDER PACKAGES: the smallest system that apt can work in, and the packages (separated by commas).
install_debian() {
  local release=$1 folder=$2 packages=$3 mirror= proxy=
  if type -P apt-config >/dev/null; then   # elsewhere debootstrap has a mirror of its own
    mirror=$(debian_mirror)
    proxy=$(apt-config shell proxy Acquire::http::Proxy | sed -n "s/^proxy='\(.*\)'$/\1/p")
  fi
  [ -z "$proxy" ] || export http_proxy="${http_proxy:-$proxy}"
  debootstrap --variant=minbase ${packages:+--include="$packages"} "$release" "$folder" ${mirror:+"$mirror"}
}

# Ubuntu's mirrors have no Debian.
debian_mirror() {
  # shellcheck source=/dev/null
  . /etc/os-release
  [ "$ID" = debian ] || return 0
  # shellcheck disable=SC2016  # apt's own fields
  apt-get indextargets --format '$(CODENAME) $(RELEASE) $(COMPONENT) $(SITE)' 2>/dev/null |
    awk -v release="$VERSION_CODENAME" '($1 == release || $2 == release) && $3 == "main" {print $4; exit}'
}

# How far debootstrap is, as its output says.
packages_unpacked() {
  awk '/^I: Retrieving [^ ]+ [0-9]/ {fetched++} /^I: (Extracting|Unpacking) [^ ]+\.\.\.$/ {unpacked[$3]} /^I: Configuring [^ ]+\.\.\.$/ {configured[$3]}
    END {print fetched + 0 " packages fetched, " length(unpacked) " unpacked, " length(configured) " configured"}' "$1"
}
