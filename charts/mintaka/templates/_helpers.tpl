{{/* The name objects start with: the release's, with the chart's where it does not contain it. */}}
{{- define "mintaka.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mintaka.operator.name" -}}{{ include "mintaka.fullname" . }}-operator{{- end -}}
{{- define "mintaka.api.name" -}}{{ include "mintaka.fullname" . }}-api{{- end -}}
{{- define "mintaka.test.name" -}}{{ include "mintaka.fullname" . }}-test{{- end -}}

{{/* Names of cluster-wide objects carry the namespace, so that releases in two namespaces do not meet. */}}
{{- define "mintaka.operator.clusterName" -}}{{ .Release.Namespace }}:{{ include "mintaka.operator.name" . }}{{- end -}}
{{- define "mintaka.api.clusterName" -}}{{ .Release.Namespace }}:{{ include "mintaka.api.name" . }}{{- end -}}

{{- define "mintaka.operator.serviceAccount" -}}
{{- .Values.operator.serviceAccount.name | default (ternary (include "mintaka.operator.name" .) "default" .Values.operator.serviceAccount.create) -}}
{{- end -}}

{{- define "mintaka.api.serviceAccount" -}}
{{- .Values.api.serviceAccount.name | default (ternary (include "mintaka.api.name" .) "default" .Values.api.serviceAccount.create) -}}
{{- end -}}

{{/* Labels that pods are selected by; they never change. */}}
{{- define "mintaka.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "mintaka.labels" -}}
{{ include "mintaka.selector" . }}
app.kubernetes.io/part-of: mintaka
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* repository:tag, or repository@digest where a digest is given. */}}
{{- define "mintaka.image" -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}

{{- define "mintaka.api.url" -}}
http://{{ include "mintaka.api.name" . }}.{{ .Release.Namespace }}.svc:{{ .Values.api.service.port }}
{{- end -}}

{{/* "true" where the API's database is SQLite. */}}
{{- define "mintaka.api.usesSQLite" -}}
{{- if not (or .Values.api.database.url .Values.api.database.existingSecret.name) -}}true{{- end -}}
{{- end -}}

{{/* Pod Security "restricted" of the pod. fsGroup lets the API write its volume. */}}
{{- define "mintaka.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Pod Security "restricted" of a container, and a root file system that cannot be written. */}}
{{- define "mintaka.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where pods go and how they weigh: the values that operator and API have alike. */}}
{{- define "mintaka.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* The rules of the operator for the resources it serves; one list for ClusterRole and Role. */}}
{{- define "mintaka.operator.rules" -}}
- apiGroups: [mintaka.dev]
  resources: [flowdeployments]
  verbs: [get, list, watch]
- apiGroups: [mintaka.dev]
  resources: [flowdeployments/status]
  verbs: [update]
- apiGroups: [mintaka.dev]
  resources: [flowruns]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [mintaka.dev]
  resources: [flowruns/status]
  verbs: [update]
# What a run or a pod that blocks its owner's deletion needs (OwnerReferencesPermissionEnforcement).
- apiGroups: [mintaka.dev]
  resources: [flowdeployments/finalizers, flowruns/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
# Whether a source exists, and tombstones of runs the API did not see end.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create]
{{- end -}}

{{/* The rules of the API: it reads, and writes the spec of runs, never their status. */}}
{{- define "mintaka.api.rules" -}}
- apiGroups: [mintaka.dev]
  resources: [flowdeployments]
  verbs: [get, list, watch]
- apiGroups: [mintaka.dev]
  resources: [flowruns]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [mintaka.dev]
  resources: [flowdeployments/finalizers, flowruns/finalizers]
  verbs: [update]
# Tombstones: taken in, then deleted.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, delete]
{{- end -}}

{{/*
Binds rules to a ServiceAccount: a ClusterRole, or a Role in each watched namespace.
Takes root, component, name, clusterName, serviceAccount and rules.
*/}}
{{- define "mintaka.grant" -}}
{{- $context := dict "root" .root "component" .component -}}
{{- $grant := . -}}
{{- if .root.Values.watchNamespaces -}}
{{- range .root.Values.watchNamespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $grant.name }}
  namespace: {{ . }}
  labels:
    {{- include "mintaka.labels" $context | nindent 4 }}
rules:
  {{- $grant.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $grant.name }}
  namespace: {{ . }}
  labels:
    {{- include "mintaka.labels" $context | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $grant.name }}
subjects:
  - kind: ServiceAccount
    name: {{ $grant.serviceAccount }}
    namespace: {{ $grant.root.Release.Namespace }}
{{- end }}
{{- else }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .clusterName }}
  labels:
    {{- include "mintaka.labels" $context | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .clusterName }}
  labels:
    {{- include "mintaka.labels" $context | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .clusterName }}
subjects:
  - kind: ServiceAccount
    name: {{ .serviceAccount }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end -}}
