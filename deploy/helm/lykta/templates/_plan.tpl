{{/* What the prepare job must find or make: every Secret by name, so that names are decided in one place. */}}

{{- define "lykta.preparePlan" -}}
{{- $workloads := list -}}
{{- if not .Values.certificates.certManager.enabled -}}
{{- range include "lykta.workloads" $ | fromYamlArray -}}
{{- $workloads = append $workloads (dict
    "workload" .
    "secret" (printf "%s-tls" (include "lykta.name" (list $ .)))
    "dns_names" (include "lykta.dnsNames" (list $ .) | fromYamlArray)) -}}
{{- end -}}
{{- end -}}
{{- $contract := include "lykta.contract" $ | fromYaml -}}
{{- $nats := list -}}
{{- if not .Values.nats.external.enabled -}}
{{- range concat $contract.nats.users .Values.nats.subscribers }}{{ $nats = append $nats .user }}{{ end -}}
{{- end -}}
namespace: {{ .Release.Namespace }}
labels:
  app.kubernetes.io/name: lykta
  app.kubernetes.io/instance: {{ .Release.Name }}
  app.kubernetes.io/managed-by: lykta-prepare
required: {{ include "lykta.requiredSecrets" $ | fromYamlArray | toJson }}
authority: {secret: {{ include "lykta.name" (list $ "ca") }}, days: {{ .Values.certificates.authorityDays }}}
leaf_days: {{ .Values.certificates.leafDays }}
certificates: {{ toJson $workloads }}
signing_keys:
  secret: {{ include "lykta.name" (list $ "signing-keys") }}
  public_secret: {{ include "lykta.name" (list $ "public-keys") }}
  names: {{ toJson $contract.signingKeys }}
  log_origin: {{ include "lykta.auditOrigin" $ }}
controller_keys:
  secret: {{ ternary (include "lykta.kekSecret" $) "" (empty .Values.keys.existingKekSecret) | quote }}
  controllers: {{ toJson (ternary .Values.keys.controllers list (empty .Values.keys.existingKekSecret)) }}
passwords:
  - {secret: {{ ternary (include "lykta.natsSecret" $) "" (not (empty $nats)) | quote }}, keys: {{ toJson $nats }} }
  - {secret: {{ ternary (include "lykta.name" (list $ "identity-client")) "" .Values.demo.enabled | quote }}, keys: [secret]}
s3:
  {{- if not .Values.objectStore.external.enabled }}
  root_secret: {{ include "lykta.name" (list $ "s3-root") }}
  accounts_secret: {{ include "lykta.s3Secret" $ }}
  {{- else }}
  root_secret: ""
  accounts_secret: ""
  {{- end }}
camera_credentials:
  secret: {{ ternary (include "lykta.name" (list $ "demo-cameras")) "" (and .Values.demo.enabled (not .Values.ingest.cameras.credentialsSecret)) | quote }}
{{- end -}}

{{/* What the setup job must find or make in NATS and the object store. */}}
{{- define "lykta.setupPlan" -}}
nats:
  url: {{ include "lykta.natsUrl" $ }}
  replicas: {{ .Values.nats.streamReplicas | default .Values.nats.replicas }}
s3:
  endpoint: {{ include "lykta.s3Endpoint" $ }}
  region: {{ .Values.objectStore.region }}
  footage_bucket: {{ .Values.objectStore.buckets.footage }}
  audit_bucket: {{ .Values.objectStore.buckets.audit }}
  audit_lock_days: {{ .Values.objectStore.auditLockDays }}
  accounts: {{ not .Values.objectStore.external.enabled }}
{{- end -}}


{{/* Secrets that others bring, with the value that names each and the files in it: looked for before anything is made. */}}
{{- define "lykta.requiredSecrets" -}}
{{- $contract := include "lykta.contract" $ | fromYaml -}}
{{- $found := list -}}
{{- if .Values.nats.external.enabled -}}
{{- $users := list -}}{{- range $contract.nats.users }}{{ $users = append $users .user }}{{ end -}}
{{- $found = append $found (list "nats.external.existingSecret" (include "lykta.natsSecret" $) $users) -}}
{{- end -}}
{{- if .Values.objectStore.external.enabled -}}
{{- $files := list "bootstrap.json" -}}{{- range $contract.s3Accounts }}{{ $files = append $files (printf "%s.json" .) }}{{ end -}}
{{- $found = append $found (list "objectStore.external.existingSecret" (include "lykta.s3Secret" $) $files) -}}
{{- $found = append $found (list "objectStore.external.caSecret" .Values.objectStore.external.caSecret (list "ca.crt")) -}}
{{- end -}}
{{- if .Values.database.external.enabled -}}
{{- $found = append $found (list "database.external.existingSecret" .Values.database.external.existingSecret $contract.databases) -}}
{{- $found = append $found (list "database.external.caSecret" .Values.database.external.caSecret (list "ca.crt")) -}}
{{- end -}}
{{- if not .Values.demo.enabled -}}
{{- $found = append $found (list "identity.caSecret" .Values.identity.caSecret (list "ca.crt")) -}}
{{- end -}}
{{- $keks := list -}}{{- range .Values.keys.controllers }}{{ $keks = append $keks (printf "%s.key" .) }}{{ end -}}
{{- $found = append $found (list "keys.existingKekSecret" .Values.keys.existingKekSecret $keks) -}}
{{- $found = append $found (list "ingest.cameras.credentialsSecret" .Values.ingest.cameras.credentialsSecret (list "cameras.json")) -}}
{{- $named := list -}}
{{- range $found }}{{ if index . 1 }}{{ $named = append $named (dict "value" (index . 0) "secret" (index . 1) "keys" (index . 2)) }}{{ end }}{{ end -}}
{{- toYaml $named -}}
{{- end -}}
