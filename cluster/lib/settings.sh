# shellcheck shell=bash disable=SC2034  # sourced: what is set here is used by the commands
# Names, addresses and folders of the test cluster.
# The address ranges and ports are unusual on purpose: a developer's own cluster keeps working beside this one.

shopt -s inherit_errexit   # a command that fails inside $(...) ends that too

cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mintaka/cluster
state=${MINTAKA_CLUSTER_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/mintaka/cluster}
config=$state/config
logs=$state/logs
run=$state/run
socket=$run/containerd.sock

node=mintaka
bridge=mintaka0
node_ip=10.199.0.1        # the bridge: address of node, apiserver and DNS, and the pods' gateway
pod_cidr=10.199.0.0/20
service_cidr=10.198.0.0/16
kubernetes_ip=10.198.0.1  # the first of the services: `kubernetes` itself
cgroup=mintaka-cluster    # every pod's processes are below it, so that `down` finds them all

api_port=16443
etcd_port=12379
etcd_peer_port=12380
kubelet_port=20250
kubelet_health_port=20248
proxy_health_port=20256
proxy_metrics_port=20249
dns_ready_port=20181
kwok_port=20247

# Proxies are for the world outside: the cluster's own addresses are reached directly.
export NO_PROXY="${NO_PROXY:+$NO_PROXY,}$node_ip,$pod_cidr,$service_cidr,127.0.0.1,.svc"
export no_proxy=$NO_PROXY

say() { echo "$*" >&2; }
fail() { echo "${0##*/}: $*" >&2; exit 1; }

# CLUSTER=current means the cluster of the user's own kubectl context, of which nothing is started or stopped here.
uses_current() { [ "${CLUSTER:-}" = current ]; }
case ${CLUSTER:-} in '' | own | current) ;; *) fail "CLUSTER=$CLUSTER is unknown: leave it empty (the project's own cluster) or set it to 'current'" ;; esac
# users_own PROGRAM: print the file of a program that belongs to the user's own cluster and is not installed from here.
users_own() { type -P "$1" || fail "CLUSTER=current needs $1 on the PATH"; }
current_context() {
  local kubectl; kubectl=$(users_own kubectl)
  "$kubectl" config current-context 2>/dev/null || fail "CLUSTER=current, but kubectl has no current context"
}

needs_root() { [ "$(id -u)" = 0 ] || fail "the cluster's containers and network need root: run it as root, or use your own cluster with CLUSTER=current"; }
