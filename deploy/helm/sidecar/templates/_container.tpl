{{- /* The sidecar's container. For a pod of your own:
  initContainers: [{{ include "sidecar.initContainer" .Subcharts.sidecar | fromYaml | toJson }}] */ -}}
{{- define "sidecar.container" -}}
{{- $scheme := include "sidecar.adminScheme" . -}}
name: sidecar
image: {{ include "sidecar.image" (dict "image" .Values.image "tag" .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, --config, /etc/sidecar/sidecar.yaml]
env:
  # The image sets one, which outweighs the settings: so it has to be theirs.
  - {name: SIDECAR_ADMIN__PORT, value: {{ include "sidecar.adminPort" . | quote }}}
ports:
  {{- range include "sidecar.doors" . | fromJsonArray }}
  - {name: {{ .name }}, containerPort: {{ int .port }}}
  {{- end }}
  - {name: admin, containerPort: {{ include "sidecar.adminPort" . }}}
startupProbe:
  httpGet: {path: /livez, port: admin, scheme: {{ $scheme }}}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
# Not ready: keys or accounts are missing. A restart would not help, so only /livez asks for one.
readinessProbe:
  httpGet: {path: /readyz, port: admin, scheme: {{ $scheme }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: admin, scheme: {{ $scheme }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: sidecar-settings, mountPath: /etc/sidecar, readOnly: true}
  - {name: sidecar-tmp, mountPath: /tmp}
  {{- range .Values.secrets }}
  - {name: sidecar-secret-{{ .name }}, mountPath: {{ .mountPath }}, readOnly: true}
  {{- end }}
  {{- range include "sidecar.directories" . | fromJsonArray }}
  - {name: sidecar-{{ .name }}, mountPath: {{ .path }}}
  {{- end }}
{{- end -}}

{{- /* The same as a sidecar container: it starts before the pod's others, and ends after them. */ -}}
{{- define "sidecar.initContainer" -}}
{{ include "sidecar.container" . }}
restartPolicy: Always
{{- end -}}

{{- /* Directories that outlive the process, as JSON; one that both settings name is there once. */ -}}
{{- define "sidecar.directories" -}}
{{- $state := (.Values.settings.accounts | default dict).state_dir -}}
{{- $snapshot := (.Values.settings.keys | default dict).snapshot_dir -}}
{{- $found := list -}}
{{- if $state -}}
{{- $found = append $found (dict "name" "state" "path" $state "claim" .Values.state.existingClaim) -}}
{{- end -}}
{{- if and $snapshot (ne $snapshot ($state | default "")) -}}
{{- $found = append $found (dict "name" "keys" "path" $snapshot "claim" "") -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "sidecar.volumes" -}}
- name: sidecar-settings
  configMap: {name: {{ include "sidecar.fullname" . }}}
# The metrics of several workers.
- name: sidecar-tmp
  emptyDir: {sizeLimit: 64Mi}
{{- range .Values.secrets }}
# Nobody but the sidecar's container has it; in a pod of yours its group is not known here.
- name: sidecar-secret-{{ .name }}
  secret: {secretName: {{ .secretName }}, defaultMode: 0444}
{{- end }}
{{- range include "sidecar.directories" . | fromJsonArray }}
- name: sidecar-{{ .name }}
  {{- if .claim }}
  persistentVolumeClaim: {claimName: {{ .claim }}}
  {{- else }}
  emptyDir: {sizeLimit: 16Mi}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* Changes with the settings, so that pods with it are replaced. */ -}}
{{- define "sidecar.checksum" -}}
{{- toYaml .Values.settings | sha256sum -}}
{{- end -}}
