# shellcheck shell=bash disable=SC2154  # sourced after settings.sh, whose names it uses
# Build images without Docker, keep them as archives in the cache, and load them into a cluster.

# What a process of a build may start at most, unless this shell may start fewer.
most_processes=32768
base_recipe=("$cluster/images/base" "$cluster/lib/debian.sh")

one_at_a_time() {
  exec 9>"$cache/lock"
  flock -n 9 || with_progress "waiting for another build of an image" last_line flock 9
}

# Our own storage, not the machine's. Overlay is fast; not every file system and sandbox allows it, vfs works everywhere.
buildah() {
  if [ -z "${storage_driver:-}" ]; then
    for storage_driver in overlay vfs; do
      mkdir -p "$cache/storage-$storage_driver"
      if run_buildah info >/dev/null 2>&1; then break; fi
    done
  fi
  run_buildah "$@"
}
run_buildah() {
  BUILDAH_ISOLATION=chroot command buildah --storage-driver "$storage_driver" \
    --root "$cache/storage-$storage_driver" --runroot "$cache/storage-$storage_driver/run" "$@"
}

# export_archive IMAGE NAME FILE: under NAME, as the OCI archive that containerd, kind, k3d and skopeo read.
export_archive() {
  rm -f "$3.new"
  with_progress "writing the archive of $2" last_line buildah push --quiet "$1" "oci-archive:$3.new:$2"
  mv "$3.new" "$3"
}

# As a cluster reads it: `mintaka:dev` in a manifest means docker.io/library/mintaka:dev.
full_name() {
  case $1 in
    localhost/* | *.*/* | *:*/*) echo "$1" ;;
    */*) echo "docker.io/$1" ;;
    *) echo "docker.io/library/$1" ;;
  esac
}

base_name() { echo "localhost/mintaka-base:$(cat "${base_recipe[@]}" | sha256sum | cut -c1-12)"; }

base_archive() {
  local name archive; name=$(base_name); archive=$cache/images/base-${name#*:}.tar
  if [ ! -s "$archive" ]; then
    local root container; root=$(mktemp -d "$cache/base.XXXXXX")
    # shellcheck disable=SC2064  # this very folder
    trap "rm -rf '$root'" EXIT   # of the $(...) this runs in
    with_progress "building the base image, once: Debian with Python" packages_unpacked "${base_recipe[0]}" "$root"
    container=$(buildah from scratch)
    with_progress "adding Debian to the base image" last_line buildah add --quiet "$container" "$root" /
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env LANG=C.UTF-8 --cmd python3 "$container"
    with_progress "storing the base image" last_line buildah commit --quiet --rm "$container" "$name"
    export_archive "$name" "$name" "$archive"
  fi
  echo "$archive"
}

pause_archive() {
  local digest archive folder container; digest=$(sha256sum < "$cluster/images/pause.go" | cut -c1-12); archive=$cache/images/pause-$digest.tar
  if [ ! -s "$archive" ]; then
    one_at_a_time
    folder=$(mktemp -d "$cache/pause.XXXXXX")
    # shellcheck disable=SC2064  # this very folder
    trap "rm -rf '$folder'" EXIT
    with_progress "building the pause image" last_line env CGO_ENABLED=0 go build -ldflags '-s -w' -o "$folder/pause" "$cluster/images/pause.go"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$folder/pause" /pause >/dev/null
    buildah config --entrypoint '["/pause"]' "$container"
    buildah commit --quiet --rm "$container" localhost/pause:1 >/dev/null
    export_archive localhost/pause:1 localhost/pause:1 "$archive"
  fi
  echo "$archive"
}

# build DOCKERFILE TAG CONTEXT TARGET [OPTION ...]: prints the archive, built only when what it is made from has changed.
build() {
  local dockerfile=$1 tag=$2 context=$3 target=$4; shift 4
  local archive stem work name
  [ -f "$dockerfile" ] || fail "no such Dockerfile: $dockerfile"
  [ -d "$context" ] || fail "no such folder: $context"
  name=$(full_name "$tag")
  work=$(mktemp -d "$cache/build.XXXXXX")
  # shellcheck disable=SC2064  # this very folder
  trap "rm -rf '$work'" EXIT   # of the $(...) this runs in
  pack "$context" > "$work/context.tar"
  stem=$cache/images/${name//[\/:]/_}${target:+--$target}
  archive=$stem-$({ base_name; printf '%s\n' "$name" "$@"; cat "$dockerfile" "$work/context.tar"; } | sha256sum | cut -c1-16).tar
  if [ -s "$archive" ]; then
    say "$tag is built already"
  else
    provide_base
    mkdir "$work/context"
    tar -C "$work/context" -xf "$work/context.tar"
    package_index "$work/pip"
    with_progress "building $tag" build_step build_stages --build-arg "BASE=$(base_name)" "${volumes[@]}" "$@" \
      --file "$dockerfile" --tag "$name" "$work/context" || { buildah rm --all >/dev/null; fail "could not build $tag"; }
    rm -f "$stem"-????????????????.tar
    export_archive "$name" "$name" "$archive"
  fi
  echo "$archive"
}

# With the limits this shell has: newer versions of buildah raise them by themselves, which root in a container may not be allowed to do.
build_stages() {
  local files processes; files=$(ulimit -Hn) processes=$(ulimit -Hu)
  # Older ones begin with at most 32,768 processes, and may not raise that again.
  [ "$processes" != unlimited ] && [ "$processes" -lt "$most_processes" ] || processes=$most_processes
  buildah bud --layers --ulimit "nofile=${files/unlimited/-1}" --ulimit "nproc=$processes" "$@"
}

# As buildah announces them: [3/6] STEP 2/4: RUN ...
build_step() { grep -E '^(\[[0-9/]+\] )?STEP ' "$1" | tail -n 1 | cut -c1-120; }

# What git knows or would add: neither a virtual environment nor a secret that git ignores gets into an image or its digest.
# Times (no earlier than zip archives know, or no wheel can be built) and owners are fixed, so that equal content makes an equal archive.
pack() {
  local file
  (
    cd "$1" || exit
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
      git ls-files -z --cached --others --exclude-standard | sort -zu |
        while IFS= read -r -d '' file; do if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi; done
    else
      find . -type f -print0 -o -type l -print0 | sort -z
    fi | tar --null --no-recursion --mtime='2000-01-01 00:00Z' --owner=0 --group=0 --numeric-owner --mode=go-w -T - -cf -
  )
}

provide_base() {
  local archive; archive=$(base_archive)
  buildah images --quiet "$(base_name)" >/dev/null 2>&1 ||
    with_progress "fetching the base image from the cache" last_line buildah pull --quiet "oci-archive:$archive"
}

# package_index FOLDER: sets `volumes` so that pip in a RUN step finds the index this machine uses. Mounted while building only:
# nothing of it, least of all a password, ends up in an image. pip reads three files, each overruling the one before:
# they become the machine's, the user's, and the environment's.
package_index() {
  local folder=$1 name key user_file
  mkdir -p "$folder"; chmod 700 "$folder"
  volumes=()
  [ ! -d /etc/ssl/certs ] || volumes+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
  [ ! -f /etc/pip.conf ] || volumes+=(--volume /etc/pip.conf:/etc/xdg/pip/pip.conf:ro)
  for user_file in "$HOME/.pip/pip.conf" "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf"; do
    if [ -f "$user_file" ]; then cp "$user_file" "$folder/user.conf"; fi
  done
  [ ! -f "$folder/user.conf" ] || volumes+=(--volume "$folder/user.conf:/etc/pip.conf:ro")
  echo '[global]' > "$folder/environment.conf"
  for name in $(compgen -e PIP_); do
    [ "$name" != PIP_CONFIG_FILE ] || continue
    key=${name#PIP_}; key=${key,,}
    echo "${key//_/-} = ${!name}" >> "$folder/environment.conf"
  done
  volumes+=(--volume "$folder/environment.conf:/root/.config/pip/pip.conf:ro")
  for name in ${PIP_FIND_LINKS:-}; do [ ! -d "$name" ] || volumes+=(--volume "$name:$name:ro"); done
}

# The name an archive gives its image.
name_in() { tar -xOf "$1" index.json 2>/dev/null | sed -n 's/.*"org.opencontainers.image.ref.name": *"\([^"]*\)".*/\1/p'; }

load() {
  local archive=$1 name mark
  [ -s "$archive" ] || fail "no such archive: $archive"
  name=$(name_in "$archive")
  if uses_current; then load_into_current "$archive" "$name"; return; fi
  needs_root
  ctr version >/dev/null 2>&1 || fail "the image is in $archive, but the cluster is not up: run cluster/up first"
  # What was loaded under this name last; another archive's content under the same name must replace it.
  mark=$state/images/${name//[\/:]/_}
  if [ -n "$name" ] && [ "$(cat "$mark" 2>/dev/null)" = "$(stamp "$archive")" ] && ctr images ls -q | grep -qxF "$name"; then
    say "${name:-$archive} is in the cluster already"
    return
  fi
  with_progress "loading ${name:-$archive} into the cluster" last_line ctr images import "$archive"
  mkdir -p "$state/images"
  [ -z "$name" ] || stamp "$archive" > "$mark"
}
stamp() { stat -c '%n %s %Y' "$(realpath "$1")"; }
ctr() { command ctr --address "$socket" --namespace k8s.io "$@"; }

load_into_current() {
  local context program; context=$(current_context)
  if [ -n "${IMAGE_PUSH:-}" ]; then
    with_progress "pushing $2" last_line sh -c "$IMAGE_PUSH \"\$@\"" sh "$1" "$2"
  elif [[ $context == kind-* ]]; then
    program=$(users_own kind)
    with_progress "loading $2 into $context" last_line "$program" load image-archive "$1" --name "${context#kind-}"
  elif [[ $context == k3d-* ]]; then
    program=$(users_own k3d)
    with_progress "loading $2 into $context" last_line "$program" image import "$1" --cluster "${context#k3d-}"
  else
    fail "context $context is neither kind nor k3d: set IMAGE_PUSH to a command that takes an OCI archive and a tag (the archive is $1)"
  fi
}
