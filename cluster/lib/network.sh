# shellcheck shell=bash disable=SC2154  # sourced after settings.sh, whose names it uses
# The bridge that pods hang on, the rules that let them out, and the way to take both away again.

set_up_network() {
  local switch
  modprobe br_netfilter 2>/dev/null || true   # built in, or bridged packets pass no iptables and services stay unreachable
  # Pods are routed, and packets between two of them on the bridge see the services' rules.
  # What was there before is kept for `cluster/down`.
  for switch in ipv4/ip_forward bridge/bridge-nf-call-iptables; do
    [ -e "/proc/sys/net/$switch" ] || continue
    [ -e "$state/before-${switch#*/}" ] || cat "/proc/sys/net/$switch" > "$state/before-${switch#*/}"
    echo 1 > "/proc/sys/net/$switch"
  done
  ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
  ip address replace "$node_ip/${pod_cidr#*/}" dev "$bridge"
  ip link set "$bridge" up
  # Without a default route (a machine offline) the kernel would refuse a service's address before iptables rewrites it.
  ip route replace "$service_cidr" dev "$bridge"
  # One rule for all pods is faster than the bridge plugin's own chain for each.
  rule nat POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -j MASQUERADE
  rule filter FORWARD -i "$bridge" -j ACCEPT
  rule filter FORWARD -o "$bridge" -j ACCEPT
}

rule() {
  local table=$1 chain=$2; shift 2
  set -- "$chain" -m comment --comment mintaka-cluster "$@"
  iptables -w -t "$table" -C "$@" 2>/dev/null || iptables -w -t "$table" -I "$@"
}

tear_down_network() {
  local link switch
  for link in $(ip -o link show master "$bridge" 2>/dev/null | awk -F'[ @:]+' '{print $2}'); do ip link delete "$link" 2>/dev/null || true; done
  if ip link show "$bridge" >/dev/null 2>&1; then ip link delete "$bridge"; fi
  remove_rules iptables
  remove_rules ip6tables
  for switch in ipv4/ip_forward bridge/bridge-nf-call-iptables; do
    [ -e "$state/before-${switch#*/}" ] || continue
    cat "$state/before-${switch#*/}" > "/proc/sys/net/$switch"
    rm "$state/before-${switch#*/}"
  done
}

# Remove our own rules, the chains of kubelet and kube-proxy, and those the portmap plugin made for our network (its common
# ones too, unless another network uses them); every other rule of the machine stays untouched. Chains go last, when nothing jumps to them any more.
remove_rules() {
  local table
  type -P "$1-save" >/dev/null || return 0
  for table in raw mangle nat filter; do
    "$1-save" -t "$table" 2>/dev/null | awk -v table="$table" '
      /^:KUBE-/ { chain[substr($1, 2)] }
      /^-A/ { rules[++count] = $0 }
      /^:CNI-HOSTPORT-/ { portmap[substr($1, 2)] }
      /^-A CNI-HOSTPORT-DNAT / {
        if (/name: \\"mintaka\\"/) { for (i = 1; i < NF; i++) if ($i == "-j") chain[$(i + 1)] }
        else foreign = 1
      }
      END {
        if (!foreign) for (name in portmap) chain[name]
        print "*" table
        for (name in chain) print ":" name " - [0:0]"
        for (i = 1; i <= count; i++) {
          fields = split(rules[i], field, " ")
          if (field[2] in chain) continue
          ours = rules[i] ~ /--comment "?mintaka-cluster"?( |$)/
          for (j = 3; j < fields; j++) if (field[j] == "-j" && field[j + 1] in chain) ours = 1
          if (ours) { sub(/^-A/, "-D", rules[i]); print rules[i] }
        }
        for (name in chain) print "-X " name
        print "COMMIT"
      }' | "$1-restore" --noflush 2>/dev/null || say "some rules of the $1 table $table are left"
  done
}
