{{- define "sidecar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains "sidecar" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-sidecar" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* The name is fixed: it becomes the job of the metrics, and the rules ask for job="sidecar". */ -}}
{{- define "sidecar.ownLabels" -}}
app.kubernetes.io/name: sidecar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: authorization
{{- end -}}

{{- define "sidecar.labels" -}}
app.kubernetes.io/name: sidecar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sidecar.hasPods" -}}
{{- if or (eq .Values.mode "deployment") .Values.gateway.enabled -}}yes{{- end -}}
{{- end -}}

{{- /* Which pods the sidecar is in. */ -}}
{{- define "sidecar.selector" -}}
{{- if include "sidecar.hasPods" . -}}
{{- include "sidecar.ownLabels" . -}}
{{- else -}}
{{- toYaml (required "gateway.podLabels: say which pods the sidecar is in" .Values.gateway.podLabels) -}}
{{- end -}}
{{- end -}}

{{- define "sidecar.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sidecar.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "sidecar.image" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{- /* The doors that can be reached from beyond the pod, as JSON: name, port, host, settings. */ -}}
{{- define "sidecar.doors" -}}
{{- $doors := list -}}
{{- $sections := dict -}}
{{- if .Values.settings.upstream -}}
{{- $_ := set $sections "http" (dict "of" (.Values.settings.listen | default dict) "port" 8080 "host" "0.0.0.0") -}}
{{- end -}}
{{- range $name, $port := dict "forward_auth" 8081 "grpc" 8082 "ext_authz" 9191 "events" 9443 -}}
{{- if hasKey $.Values.settings $name -}}
{{- $host := eq $name "grpc" | ternary "0.0.0.0" "127.0.0.1" -}}
{{- $_ := set $sections $name (dict "of" (index $.Values.settings $name | default dict) "port" $port "host" $host) -}}
{{- end -}}
{{- end -}}
{{- range $name, $found := $sections -}}
{{- $host := $found.of.host | default $found.host -}}
{{- if not (regexMatch "^(127\\.|localhost$|::1$)" $host) -}}
{{- $doors = append $doors (dict "name" (replace "_" "-" $name) "port" (int ($found.of.port | default $found.port))) -}}
{{- end -}}
{{- end -}}
{{- if not $doors -}}
{{- fail "settings: every door listens on loopback alone; nobody could come in. Set its host to 0.0.0.0" -}}
{{- end -}}
{{- toJson $doors -}}
{{- end -}}

{{- define "sidecar.adminPort" -}}
{{- $admin := .Values.settings.admin | default dict -}}
{{- if regexMatch "^(127\\.|localhost$|::1$)" ($admin.host | default "127.0.0.1") -}}
{{- fail "settings.admin.host: the kubelet cannot reach loopback; set it to 0.0.0.0" -}}
{{- end -}}
{{- int ($admin.port | default 9090) -}}
{{- end -}}

{{- define "sidecar.adminScheme" -}}
{{- empty (.Values.settings.admin | default dict).tls | ternary "HTTP" "HTTPS" -}}
{{- end -}}

{{- /* Seconds that the sidecar takes to end; 5 for the parent of its workers, 5 to spare. */ -}}
{{- define "sidecar.endSeconds" -}}
{{- $listen := .Values.settings.listen | default dict -}}
{{- $drain := hasKey $listen "drain_seconds" | ternary $listen.drain_seconds 5 -}}
{{- $shutdown := hasKey $listen "shutdown_seconds" | ternary $listen.shutdown_seconds 30 -}}
{{- add (ceil $drain) (ceil $shutdown) 10 -}}
{{- end -}}

{{- define "sidecar.drainSeconds" -}}
{{- $listen := .Values.settings.listen | default dict -}}
{{- hasKey $listen "drain_seconds" | ternary $listen.drain_seconds 5 | ceil | int -}}
{{- end -}}

{{- /* Ports in a URL: numbers at the end of a host, else the default. */ -}}
{{- define "sidecar.portsOf" -}}
{{- $ports := list -}}
{{- range regexFindAll ":[0-9]+(?:[,/?]|$)" .url -1 -}}
{{- $ports = append $ports (regexFind "[0-9]+" . | int) -}}
{{- end -}}
{{- toJson ($ports | default .default | uniq) -}}
{{- end -}}

{{- /* With Sentinel the URL has the sentinels' ports; the nodes that they name are at 6379. */ -}}
{{- define "sidecar.redisPorts" -}}
{{- $url := .Values.settings.accounts.url -}}
{{- if contains "+sentinel:" $url -}}
{{- $sentinels := include "sidecar.portsOf" (dict "url" $url "default" (list 26379)) | fromJsonArray -}}
{{- toJson (append $sentinels 6379 | uniq) -}}
{{- else -}}
{{- include "sidecar.portsOf" (dict "url" $url "default" (list 6379)) -}}
{{- end -}}
{{- end -}}

{{- /* Where upstream is on the network, as JSON: all URLs of both ports. */ -}}
{{- define "sidecar.upstreamUrls" -}}
{{- $upstream := .Values.settings.upstream | default dict -}}
{{- $grpc := (.Values.settings.grpc | default dict).upstream | default dict -}}
{{- $urls := list -}}
{{- range concat (compact (list $upstream.url $grpc.url)) ($upstream.more_urls | default list) -}}
{{- if not (hasPrefix "unix:" .) -}}
{{- $urls = append $urls . -}}
{{- end -}}
{{- end -}}
{{- toJson $urls -}}
{{- end -}}

{{- define "sidecar.upstreamPorts" -}}
{{- $ports := list -}}
{{- range include "sidecar.upstreamUrls" . | fromJsonArray -}}
{{- $usual := hasPrefix "https:" . | ternary 443 80 -}}
{{- $ports = concat $ports (include "sidecar.portsOf" (dict "url" . "default" (list $usual)) | fromJsonArray) -}}
{{- end -}}
{{- toJson (.Values.networkPolicy.upstreamPorts | default ($ports | uniq)) -}}
{{- end -}}

{{- define "sidecar.testLabels" -}}
app.kubernetes.io/name: sidecar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}
