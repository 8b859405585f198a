# shellcheck shell=bash disable=SC2154  # sourced after settings.sh, whose names it uses
# Secrets, and the configuration files with their @placeholders@ filled in.

users=(admin kube-controller-manager kube-scheduler kubelet kube-proxy coredns kwok)

# One token per component and its group, so that real RBAC applies to all but the administrator and kwok.
write_secrets() {
  local user name group
  [ -s "$config/service-accounts.key" ] || openssl genrsa -out "$config/service-accounts.key" 2048 2>/dev/null
  [ -s "$config/tokens.csv" ] && return
  for user in "${users[@]}"; do
    group=
    case $user in
      admin | kwok) name=$user group=system:masters ;;
      kubelet) name=system:node:$node group=system:nodes ;;
      *) name=system:$user ;;
    esac
    echo "$(random_token),$name,$name${group:+,\"$group\"}"
  done > "$config/tokens.csv.new"
  mv "$config/tokens.csv.new" "$config/tokens.csv"
}

random_token() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# render FILE [NAME=VALUE ...]: config/FILE with @NAME@ replaced, also by the settings of the same name.
render() {
  local file=$1 name edits=(); shift
  for name in state run config socket node node_ip bridge pod_cidr service_cidr cgroup api_port \
    kubelet_port kubelet_health_port proxy_health_port proxy_metrics_port dns_ready_port; do
    edits+=(-e "s|@$name@|${!name}|g")
  done
  for name in "$@"; do edits+=(-e "s|@${name%%=*}@|${name#*=}|g"); done
  sed "${edits[@]}" "$cluster/config/$file"
}

# into FILE: what comes in, if it differs. kube-proxy, for one, ends itself when its file is so much as touched.
into() {
  cat > "$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

render_configuration() {
  local forward=
  if grep -q '^nameserver' /etc/resolv.conf; then forward="forward . /etc/resolv.conf"; fi
  echo "nameserver $node_ip" | into "$config/resolv.conf"
  render containerd.toml "cni_folder=$(cni_folder)" | into "$config/containerd.toml"
  render cni/10-mintaka.conflist | into "$config/cni/10-mintaka.conflist"
  render kubelet.yaml | into "$config/kubelet.yaml"
  render kube-proxy.yaml | into "$config/kube-proxy.yaml"
  render kube-scheduler.yaml | into "$config/kube-scheduler.yaml"
  render Corefile "forward=$forward" | into "$config/Corefile"
}

# The folder of the network plugins, which is not on the PATH and differs between distributions.
cni_folder() { dirname "$(program_file host-local)"; }

write_kubeconfigs() {
  local user file certificate; certificate=$(base64 -w0 < "$state/pki/apiserver.crt")
  for user in "${users[@]}"; do
    file=$config/$user.kubeconfig
    if [ "$user" = admin ]; then file=$state/kubeconfig; fi
    render kubeconfig "user=$user" "certificate=$certificate" "token=$(token_of "$user")" | into "$file"
  done
}

token_of() {
  local name=$1
  case $name in admin | kwok) ;; kubelet) name=system:node:$node ;; *) name=system:$name ;; esac
  awk -F, -v name="$name" '$2 == name {print $1}' "$config/tokens.csv"
}

# answers PORT PATH: does the local HTTP server say 200? (bash's own sockets: curl need not be there)
answers() {
  local status
  exec 8<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&8
  read -r _ status _ <&8
  exec 8>&-
  [ "$status" = 200 ]
}
