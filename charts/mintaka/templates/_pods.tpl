{{/* The security context of a pod or container in `values`, nothing if it is null. Takes key, values and indent. */}}
{{- define "mintaka.field" -}}
{{- with index .values .key }}
{{ $.key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
How pods of a component run, but for their containers and volumes: the values that operator and API have alike.
Takes root, component, values (of the component), serviceAccount and replicas (their greatest number).
*/}}
{{- define "mintaka.podSpec" -}}
serviceAccountName: {{ .serviceAccount | quote }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- include "mintaka.field" (dict "key" "securityContext" "values" (dict "securityContext" .values.podSecurityContext)) }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "dnsConfig" "hostAliases" "initContainers" }}
{{- include "mintaka.field" (dict "key" $key "values" $.values) }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- if .values.topologySpreadConstraints }}
{{- include "mintaka.field" (dict "key" "topologySpreadConstraints" "values" .values) }}
{{- else if and (gt (int .replicas) 1) (not .values.affinity) }}
# Several replicas on one node would end with it.
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "mintaka.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* What the container of a component has by its values: probes, resources, security, lifecycle. Takes values. */}}
{{- define "mintaka.container" -}}
{{- range $key := list "envFrom" "startupProbe" "livenessProbe" "readinessProbe" "lifecycle" "resources" "securityContext" }}
{{- include "mintaka.field" (dict "key" $key "values" $.values) }}
{{- end }}
{{- end -}}

{{/* The metadata of a component's pods. Takes root, component, values and annotations. */}}
{{- define "mintaka.podMetadata" -}}
labels:
  {{- include "mintaka.labels" (dict "root" .root "component" .component "labels" .values.podLabels) | nindent 2 }}
annotations:
  {{- $default := dict "kubectl.kubernetes.io/default-container" .component }}
  {{- merge (dict) (default dict .annotations) .values.podAnnotations $default | toYaml | nindent 2 }}
{{- end -}}

{{/* How the pods of hooks run: where the operator runs, and as it does. Takes root and serviceAccount. */}}
{{- define "mintaka.hookPodSpec" -}}
serviceAccountName: {{ .serviceAccount | quote }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- include "mintaka.field" (dict "key" "securityContext" "values" (dict "securityContext" .root.Values.operator.podSecurityContext)) }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "dnsConfig" "hostAliases" }}
{{- include "mintaka.field" (dict "key" $key "values" $.root.Values.operator) }}
{{- end }}
{{- with .root.Values.operator.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .root.Values.operator.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}
