{{/* Names, labels and addresses: what every other template is built from. */}}

{{- define "lykta.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* list $ component → <fullname>-<component> */}}
{{- define "lykta.name" -}}
{{- printf "%s-%s" (include "lykta.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/* list $ component */}}
{{- define "lykta.selector" -}}
app.kubernetes.io/name: lykta
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* list $ component */}}
{{- define "lykta.labels" -}}
{{ include "lykta.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
app.kubernetes.io/part-of: lykta
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{/* list $ component → metadata of an object named after its component */}}
{{- define "lykta.metadata" -}}
name: {{ include "lykta.name" . }}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "lykta.labels" . | nindent 2 }}
{{- end -}}

{{/* list $ component → host:port of its gRPC */}}
{{- define "lykta.grpcAddress" -}}
{{- printf "%s:%v" (include "lykta.name" .) (include "lykta.contract" (index . 0) | fromYaml).ports.grpc -}}
{{- end -}}

{{/* list $ component → the same of every pod that is ready: who calls asks each whether it serves (gRPC A17). */}}
{{- define "lykta.grpcAddresses" -}}
{{- printf "dns:///%s-headless:%v" (include "lykta.name" .) (include "lykta.contract" (index . 0) | fromYaml).ports.grpc -}}
{{- end -}}

{{/* The code's tables: ports, settings, users, permissions, streams (written by `make chart`). */}}
{{- define "lykta.contract" -}}
{{- .Files.Get "files/contract.yaml" -}}
{{- end -}}

{{/* list $ service → the image of one of our services */}}
{{- define "lykta.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- printf "%s/%s:%s" $image.registry (index . 1) ($image.tag | default (index . 0).Chart.AppVersion) -}}
{{- end -}}

{{/* Hash that changes when what was given changes: makes pods roll when their configuration does. */}}
{{- define "lykta.hash" -}}
{{- toJson . | sha256sum | trunc 16 -}}
{{- end -}}
