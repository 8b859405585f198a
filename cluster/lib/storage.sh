# shellcheck shell=bash  # sourced by up: needs kubectl and settings.sh
# Volumes for whoever claims one: a few folders of this machine, for there is no provisioner to make them when asked.

volumes=4

# A released volume is emptied and offered again.
provide_volumes() {
  local number name phase
  kubectl apply -f "$cluster/config/storage.yaml" >/dev/null
  for ((number = 1; number <= volumes; number++)); do
    name=mintaka-volume-$number
    phase=$(kubectl get persistentvolume "$name" --ignore-not-found --output 'jsonpath={.status.phase}')
    case $phase in Available | Bound | Pending) continue ;; esac
    kubectl delete persistentvolume "$name" --ignore-not-found >/dev/null
    rm -rf "${state:?}/volumes/$name"
    mkdir -p "$state/volumes/$name"
    chmod 777 "$state/volumes/$name"   # fsGroup does not reach into hostPath
    kubectl create -f - >/dev/null <<TXT
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  storageClassName: local
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: $state/volumes/$name}
TXT
  done
}
