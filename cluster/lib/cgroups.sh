# shellcheck shell=bash disable=SC2154  # sourced after settings.sh, whose names it uses
# One cgroup above all pods: kubelet wants it to exist, and `cluster/down` finds there every process a pod has started.

make_cgroup() {
  local hierarchy
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then mkdir -p "/sys/fs/cgroup/$cgroup"; return; fi   # v2: a single hierarchy
  for hierarchy in /sys/fs/cgroup/*/; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$cgroup"
    # A cpuset begins empty, and an empty one admits no process.
    if [ -e "$hierarchy/cpuset.cpus" ]; then
      cat "$hierarchy/cpuset.cpus" > "$hierarchy/$cgroup/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" > "$hierarchy/$cgroup/cpuset.mems"
    fi
  done
}

# The cgroup in each hierarchy and those below, innermost first.
cgroups() { find "/sys/fs/cgroup/$cgroup" /sys/fs/cgroup/*/"$cgroup" -depth -type d 2>/dev/null || true; }
pod_processes() { cgroups | sed 's#$#/cgroup.procs#' | xargs -r cat 2>/dev/null | sort -u; }
remove_cgroup() { cgroups | while read -r folder; do rmdir "$folder" 2>/dev/null || true; done; }
