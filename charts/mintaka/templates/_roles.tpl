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
- apiGroups: [mintaka.dev]
  resources: [orchestrationrules]
  verbs: [get, list, watch]
- apiGroups: [mintaka.dev]
  resources: [orchestrationrules/status]
  verbs: [update]
# What a run or a pod that blocks its owner's deletion needs (OwnerReferencesPermissionEnforcement).
- apiGroups: [mintaka.dev]
  resources: [flowdeployments/finalizers, flowruns/finalizers]
  verbs: [update]
# patch: to take the finalizer off a pod whose end is recorded.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
# Whether a source exists.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# The revisions of deployments that runs were created with.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, create, delete]
# What wakes runs that wait for room.
- apiGroups: [""]
  resources: [resourcequotas, limitranges]
  verbs: [list, watch]
{{- end -}}

{{/* What the operator needs of the cluster as a whole: rules about all runs, and whether the node of a pod is lost. */}}
{{- define "mintaka.operator.clusterRules" -}}
- apiGroups: [mintaka.dev]
  resources: [clusterorchestrationrules]
  verbs: [get, list, watch]
- apiGroups: [mintaka.dev]
  resources: [clusterorchestrationrules/status]
  verbs: [update]
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- end -}}

{{/* The rules of the operator in the release's namespace: its Lease (`create` cannot be granted by name), and tombstones. */}}
{{- define "mintaka.operator.releaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "mintaka.lease.name" . | quote }}]
  verbs: [get, update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
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
# The versions of deployments.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [list, watch]
{{- end -}}

{{/*
The rules of the API in the release's namespace: tombstones, which it imports and then deletes; the namespace's uid, which is the key of
the cluster; with PostgreSQL its Lease (`create` cannot be granted by name).
*/}}
{{- define "mintaka.api.releaseRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, delete]
{{- if not .Values.clusterName }}
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [{{ include "mintaka.namespace" . | quote }}]
  verbs: [get]
{{- end }}
{{- if not (include "mintaka.api.usesSQLite" .) }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "mintaka.api.name" . | quote }}]
  verbs: [get, update]
{{- end }}
{{- end -}}

{{/*
A role and its binding to a ServiceAccount. Takes root, component, name, serviceAccount, rules and namespace: "" for a
ClusterRole and its ClusterRoleBinding.
*/}}
{{- define "mintaka.role" -}}
{{- $kind := ternary "Role" "ClusterRole" (ne .namespace "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- include "mintaka.metadata" . | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- include "mintaka.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ .serviceAccount | quote }}
    namespace: {{ include "mintaka.namespace" .root | quote }}
{{- end -}}

{{/*
Grants a component what it needs of the resources it serves: a ClusterRole, or a Role in each watched namespace; and what it
needs in the release's namespace. Takes root, component, name, clusterName, serviceAccount, rules, clusterRules and releaseRules.
*/}}
{{- define "mintaka.grant" -}}
{{- $grant := . -}}
{{- range .root.Values.watchNamespaces }}
{{- if not (has . $grant.root.Values.rbac.skipNamespaces) }}
{{- include "mintaka.role" (merge (dict "namespace" .) $grant) }}
{{- end }}
{{- else }}
{{- $rules := list .rules .clusterRules | compact | join "\n" }}
{{- include "mintaka.role" (merge (dict "namespace" "" "name" .clusterName "rules" $rules) $grant) }}
{{- end }}
{{- $name := printf "%s-release" .name }}
{{- include "mintaka.role" (merge (dict "namespace" (include "mintaka.namespace" .root) "name" $name "rules" .releaseRules) $grant) }}
{{- end -}}
