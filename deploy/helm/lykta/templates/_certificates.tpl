{{/* Which workload has a certificate, and for which names: read by cert-manager's objects and by the prepare job. */}}

{{- define "lykta.workloads" -}}
{{- $names := list "access-control" "analytics" "audit" "ingest" "storage" "cli" "setup" -}}
{{- if not .Values.nats.external.enabled }}{{ $names = append $names "nats" }}{{ end -}}
{{- if not .Values.objectStore.external.enabled }}{{ $names = append $names "minio" }}{{ end -}}
{{- if not .Values.database.external.enabled }}{{ $names = append $names "postgresql" }}{{ end -}}
{{- if .Values.nats.subscribers }}{{ $names = append $names "subscribers" }}{{ end -}}
{{- if .Values.demo.enabled }}{{ $names = concat $names (list "identity" "test-tool") }}{{ end -}}
{{- range $names }}
- {{ . }}
{{- end }}
{{- end -}}

{{/* list $ workload → its DNS names */}}
{{- define "lykta.dnsNames" -}}
{{- $root := index . 0 -}}{{- $workload := index . 1 -}}{{- $name := include "lykta.name" . -}}{{- $namespace := $root.Release.Namespace -}}
- {{ $workload }}
- {{ $name }}
- {{ $name }}.{{ $namespace }}
- {{ $name }}.{{ $namespace }}.svc
- {{ $name }}.{{ $namespace }}.svc.cluster.local
- {{ $name }}-headless.{{ $namespace }}.svc
- {{ printf "*.%s-headless.%s.svc" $name $namespace | quote }}
{{- end -}}
