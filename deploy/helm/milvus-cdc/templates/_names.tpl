{{/* The name of everything in a release: the release's, with the chart's unless it is in there. */}}
{{- define "milvus-cdc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What tells this release's pods from others; never changes in the life of a release. */}}
{{- define "milvus-cdc.selectorLabels" -}}
app.kubernetes.io/name: milvus-cdc
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "milvus-cdc.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "milvus-cdc.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The port that `config.address` names. */}}
{{- define "milvus-cdc.port" -}}
{{- last (splitList ":" .Values.config.address) -}}
{{- end -}}

{{/* How a probe asks for a path. It has no certificate to show, so if one is asked for it can only
connect. */}}
{{- define "milvus-cdc.probe" -}}
{{- $api := .root.Values.config.api | default dict -}}
{{- if $api.tlsClientCAPath -}}
tcpSocket: {port: http}
{{- else if $api.tlsCertPath -}}
httpGet: {path: {{ .path }}, port: http, scheme: HTTPS}
{{- else -}}
httpGet: {path: {{ .path }}, port: http}
{{- end -}}
{{- end -}}

{{/* How Prometheus is let in. */}}
{{- define "milvus-cdc.scrape" -}}
{{- $api := .Values.config.api | default dict -}}
scheme: {{ ternary "https" "http" (not (empty $api.tlsCertPath)) }}
{{- with .Values.monitoring.serviceMonitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.monitoring.serviceMonitor.authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
