{{/*
Fills `.Values` with the defaults of this chart's values.yaml (files/values.json is the same as data). Every template begins with
it. Helm itself brings no default for a value that was set to null, nor, with --reuse-values, for one that an older chart did not
have. Values listed in `whole` are never merged, so that a field of theirs can be set to null, and are left out when they are null
themselves; the number is the valuesVersion that brought them, before which their absence means nothing.
*/}}
{{- define "mintaka.defaults" -}}
{{- $whole := dict "resources" 1 "podSecurityContext" 2 "securityContext" 2 "startupProbe" 2 "livenessProbe" 2 "readinessProbe" 2 -}}
{{- $defaults := .Files.Get "files/values.json" | fromJson -}}
{{- include "mintaka.fill" (dict "values" .Values "defaults" $defaults "whole" $whole "version" (int (default 1 .Values.valuesVersion))) -}}
{{- end -}}

{{- define "mintaka.fill" -}}
{{- range $key, $default := .defaults -}}
{{- $given := index $.values $key -}}
{{- $since := index $.whole $key -}}
{{- if kindIs "invalid" $given -}}
{{- if or (not $since) (lt $.version (int $since)) -}}{{- $_ := set $.values $key $default -}}{{- end -}}
{{- else if and (not $since) (kindIs "map" $default) (kindIs "map" $given) -}}
{{- include "mintaka.fill" (dict "values" $given "defaults" $default "whole" $.whole "version" $.version) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The name objects start with: the release's, with the chart's if it does not contain it. Names of Services have at most 63 characters
(the longest suffix is -operator-metrics), begin with a letter and have no dots; names of releases may break all three rules.
*/}}
{{- define "mintaka.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full := .Values.fullnameOverride | default $release | replace "." "-" | trunc 46 -}}
{{- if not (regexMatch "^[a-z]" $full) -}}
{{- fail (printf "fullnameOverride: set it, since objects cannot be named after the release %q: names of Services begin with a letter" .Release.Name) -}}
{{- end -}}
{{- regexReplaceAll "-+$" $full "" -}}
{{- end -}}

{{/* The namespace of the release's own objects. */}}
{{- define "mintaka.namespace" -}}{{ .Values.namespaceOverride | default .Release.Namespace }}{{- end -}}

{{- define "mintaka.operator.name" -}}{{ include "mintaka.fullname" . }}-operator{{- end -}}
{{- define "mintaka.api.name" -}}{{ include "mintaka.fullname" . }}-api{{- end -}}
{{- define "mintaka.test.name" -}}{{ include "mintaka.fullname" . }}-test{{- end -}}
{{- define "mintaka.uninstall.name" -}}{{ include "mintaka.fullname" . }}-uninstall{{- end -}}
{{- define "mintaka.podTemplate.name" -}}{{ include "mintaka.fullname" . }}-flow-pods{{- end -}}
{{- define "mintaka.lease.name" -}}{{ .Values.operator.leaseName | default (include "mintaka.operator.name" .) }}{{- end -}}

{{/* Names of cluster-wide objects carry the namespace, so that releases in two namespaces do not meet. */}}
{{- define "mintaka.operator.clusterName" -}}{{ include "mintaka.namespace" . }}:{{ include "mintaka.operator.name" . }}{{- end -}}
{{- define "mintaka.api.clusterName" -}}{{ include "mintaka.namespace" . }}:{{ include "mintaka.api.name" . }}{{- end -}}

{{/* The ServiceAccount `default` is every pod's in the namespace; no rights are bound to it unless the values name it. */}}
{{- define "mintaka.serviceAccount" -}}
{{- $account := index .root.Values .component "serviceAccount" -}}
{{- if not (or $account.create $account.name) -}}
{{- fail (printf "%s.serviceAccount: give a name if create is false" .component) -}}
{{- end -}}
{{- $account.name | default (include (printf "mintaka.%s.name" .component) .root) -}}
{{- end -}}

{{- define "mintaka.operator.serviceAccount" -}}
{{- include "mintaka.serviceAccount" (dict "root" . "component" "operator") -}}
{{- end -}}

{{- define "mintaka.api.serviceAccount" -}}
{{- include "mintaka.serviceAccount" (dict "root" . "component" "api") -}}
{{- end -}}

{{/* Labels that pods are selected by; they never change. */}}
{{- define "mintaka.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object: the chart's own, then `labels`, then commonLabels; the first of these that has a key decides. */}}
{{- define "mintaka.labels" -}}
{{- $own := dict
  "app.kubernetes.io/part-of" "mintaka"
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_")
-}}
{{- merge (include "mintaka.selector" . | fromYaml) $own (default dict .labels) .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/*
The metadata of an object. Takes root, component and name; namespace (the release's own if absent, none if "", for what is
cluster-wide), and labels and annotations beyond those of every object.
*/}}
{{- define "mintaka.metadata" -}}
name: {{ .name | quote }}
{{- with hasKey . "namespace" | ternary .namespace (include "mintaka.namespace" .root) }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "mintaka.labels" . | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* repository:tag, or repository@digest if there is a digest. */}}
{{- define "mintaka.image" -}}
{{- if not (or .digest .tag) -}}{{- fail (printf "the image %s has neither a tag nor a digest" .repository) -}}{{- end -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}

{{- define "mintaka.api.url" -}}
http://{{ include "mintaka.api.name" . }}.{{ include "mintaka.namespace" . }}.svc:{{ .Values.api.service.port }}
{{- end -}}

{{/* "true" if the API's database is SQLite. */}}
{{- define "mintaka.api.usesSQLite" -}}
{{- if not (or .Values.api.database.url .Values.api.database.existingSecret.name) -}}true{{- end -}}
{{- end -}}

{{/* The greatest number of pods that a component may have. */}}
{{- define "mintaka.operator.mostReplicas" -}}{{ .Values.operator.replicas }}{{- end -}}
{{- define "mintaka.api.mostReplicas" -}}
{{- if .Values.api.autoscaling.enabled -}}{{ .Values.api.autoscaling.maxReplicas }}{{- else -}}{{ .Values.api.replicas }}{{- end -}}
{{- end -}}
