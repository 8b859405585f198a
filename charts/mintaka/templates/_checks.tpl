{{/*
What values.schema.json cannot check, since it depends on several values or on what the chart itself renders. Each check renders
nothing, and fails with a sentence that begins with the value that is wrong.
*/}}

{{/* Fails if a name is there twice. Takes value (its path), names and sentence (a format for the name). */}}
{{- define "mintaka.checkUnique" -}}
{{- $seen := dict -}}
{{- range .names -}}
{{- if hasKey $seen . -}}{{- fail (printf "%s: %s" $.value (printf $.sentence .)) -}}{{- end -}}
{{- $_ := set $seen . true -}}
{{- end -}}
{{- end -}}

{{/* Checks the pods of a component, as rendered. Takes component, values (of the component) and pod (its spec). */}}
{{- define "mintaka.checkPod" -}}
{{- $component := .component -}}
{{- $own := first .pod.containers -}}
{{- $containers := concat .pod.containers (default list .pod.initContainers) -}}
{{- $names := list -}}
{{- range $containers -}}{{- $names = append $names .name -}}{{- end -}}
{{- include "mintaka.checkUnique" (dict "value" (print $component ".extraContainers, initContainers") "names" $names "sentence" "there are two containers named %q") -}}
{{- $variables := list -}}
{{- range $own.env -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- include "mintaka.checkUnique" (dict "value" (print $component ".extraEnv") "names" $variables "sentence" "%s is set twice; those of the chart have values of their own") -}}
{{- $volumes := list -}}
{{- range .pod.volumes -}}{{- $volumes = append $volumes .name -}}{{- end -}}
{{- include "mintaka.checkUnique" (dict "value" (print $component ".extraVolumes") "names" $volumes "sentence" "there are two volumes named %q") -}}
{{- $places := list -}}
{{- range $own.volumeMounts -}}{{- $places = append $places (clean .mountPath) -}}{{- end -}}
{{- include "mintaka.checkUnique" (dict "value" (print $component ".extraVolumeMounts") "names" $places "sentence" "two volumes are mounted at %s") -}}
{{- range $container := $containers -}}
{{- range $container.volumeMounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "%s.extraVolumes: there is no volume named %q, which the container %q mounts" $component .name $container.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" -}}
{{- with index $own $probe -}}
{{- if ne 1 (len (pick . "exec" "grpc" "httpGet" "tcpSocket")) -}}
{{- fail (printf "%s.%s: give one of exec, grpc, httpGet and tcpSocket; null removes the chart's own (httpGet: null)" $component $probe) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq (default "" .pod.dnsPolicy) "None") (not (dig "nameservers" (list) (default dict .pod.dnsConfig))) -}}
{{- fail (printf "%s.dnsPolicy: None needs %s.dnsConfig.nameservers" $component $component) -}}
{{- end -}}
{{- include "mintaka.checkStrategy" (dict "component" $component "strategy" .values.strategy) -}}
{{- end -}}

{{- define "mintaka.checkStrategy" -}}
{{- $rolling := default dict .strategy.rollingUpdate -}}
{{- if and (eq (default "" .strategy.type) "Recreate") $rolling -}}
{{- fail (printf "%s.strategy: rollingUpdate needs the type RollingUpdate" .component) -}}
{{- end -}}
{{- $none := list "0" "0%" "00%" -}}
{{- if and (has (toString (dig "maxSurge" "25%" $rolling)) $none) (has (toString (dig "maxUnavailable" "25%" $rolling)) $none) -}}
{{- fail (printf "%s.strategy: maxSurge and maxUnavailable are both 0, so that no pod could be replaced" .component) -}}
{{- end -}}
{{- end -}}

{{/* Checks what the API's values say of its database, its Service and its autoscaler. Takes the root. */}}
{{- define "mintaka.checkApi" -}}
{{- $api := .Values.api -}}
{{- if and $api.database.url $api.database.existingSecret.name -}}
{{- fail "api.database: give url or existingSecret.name, not both" -}}
{{- end -}}
{{- /* A password may contain any of :/?#@, so what is looked for is its absence. */ -}}
{{- if and $api.database.url (or (regexMatch "[?&]password=" $api.database.url) (not (regexMatch "^[a-z+]+://([^:/?#@]*@)?[^/?#@]*(/[^?#@]*)?([?][^#]*)?$" $api.database.url))) -}}
{{- fail "api.database.url: a URL with a password belongs in a Secret (api.database.existingSecret, or the password alone in api.database.passwordSecret), or every user who may read Deployments could read it" -}}
{{- end -}}
{{- if include "mintaka.api.usesSQLite" . -}}
{{- if or $api.database.pooler $api.database.passwordSecret.name -}}
{{- fail "api.database: pooler and passwordSecret are PostgreSQL's; give its URL too (api.database.url or api.database.existingSecret.name)" -}}
{{- end -}}
{{- if $api.autoscaling.enabled -}}
{{- fail "api.autoscaling: SQLite is one file for one process; autoscaling needs PostgreSQL (api.database.url or api.database.existingSecret.name)" -}}
{{- end -}}
{{- if gt (int $api.replicas) 1 -}}
{{- fail "api.replicas: SQLite is one file for one process; more than one API needs PostgreSQL (api.database.url or api.database.existingSecret.name)" -}}
{{- end -}}
{{- if ne (default "Recreate" $api.strategy.type) "Recreate" -}}
{{- fail "api.strategy: SQLite is one file for one process; type must be Recreate, or the database PostgreSQL" -}}
{{- end -}}
{{- with $api.database.sqlite.persistence -}}
{{- if and .existingClaim (not .enabled) -}}
{{- fail "api.database.sqlite.persistence: existingClaim is not used if enabled is false" -}}
{{- end -}}
{{- if and (has "ReadWriteOncePod" .accessModes) (gt (len .accessModes) 1) -}}
{{- fail "api.database.sqlite.persistence: the access mode ReadWriteOncePod excludes all others" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $api.service.ipFamilyPolicy "SingleStack") (gt (len $api.service.ipFamilies) 1) -}}
{{- fail "api.service: two ipFamilies need the ipFamilyPolicy PreferDualStack or RequireDualStack" -}}
{{- end -}}
{{- /* The URL of the API is the name of a Service, which only the cluster's DNS knows. */ -}}
{{- if eq .Values.operator.dnsPolicy "Default" -}}
{{- fail "operator.dnsPolicy: the operator could not resolve the API's Service with the DNS of its node (Default)" -}}
{{- end -}}
{{- if and .Values.operator.serviceAccount.create $api.serviceAccount.create (eq (include "mintaka.operator.serviceAccount" .) (include "mintaka.api.serviceAccount" .)) -}}
{{- fail "api.serviceAccount: the operator's has the same name; only one of the two can be created" -}}
{{- end -}}
{{- end -}}

{{- define "mintaka.checkAutoscaling" -}}
{{- $scaling := .Values.api.autoscaling -}}
{{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) -}}
{{- fail "api.autoscaling: maxReplicas is less than minReplicas" -}}
{{- end -}}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.targetMemoryUtilizationPercentage $scaling.metrics) -}}
{{- fail "api.autoscaling: give a target: targetCPUUtilizationPercentage, targetMemoryUtilizationPercentage or metrics" -}}
{{- end -}}
{{- $resources := default dict .Values.api.resources -}}
{{- range $resource, $target := dict "cpu" $scaling.targetCPUUtilizationPercentage "memory" $scaling.targetMemoryUtilizationPercentage -}}
{{- if and $target (not (or (dig "requests" $resource "" $resources) (dig "limits" $resource "" $resources))) -}}
{{- fail (printf "api.autoscaling: a target in percent of the requested %s needs api.resources.requests.%s" $resource $resource) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mintaka.checkNamespaces" -}}
{{- range .Values.rbac.skipNamespaces -}}
{{- if not (has . $.Values.watchNamespaces) -}}
{{- fail (printf "rbac.skipNamespaces: %s is not in watchNamespaces" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
