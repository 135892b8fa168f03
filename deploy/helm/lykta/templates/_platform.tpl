{{/* Single facts of the platform that a service's template asks for: identity provider, cameras, keys, priority. */}}

{{- define "lykta.auditOrigin" -}}
{{- .Values.audit.origin | default (printf "%s.%s/log" (include "lykta.fullname" $) .Release.Namespace) -}}
{{- end -}}

{{- define "lykta.issuer" -}}
{{- if .Values.demo.enabled -}}
https://{{ include "lykta.name" (list $ "identity") }}:{{ (include "lykta.contract" $ | fromYaml).ports.identity }}/development
{{- else -}}
{{- required "identity.issuer: give the https:// address of the OpenID Connect provider, exactly as it names itself" .Values.identity.issuer -}}
{{- end -}}
{{- end -}}

{{/* The demo's operator founds its controllers. */}}
{{- define "lykta.platformOperators" -}}
{{- concat .Values.identity.platformOperators (ternary (list (include "lykta.contract" $ | fromYaml).demoOperator) list .Values.demo.enabled) | toJson -}}
{{- end -}}

{{- define "lykta.issuerCaFile" -}}
{{- if .Values.demo.enabled -}}
/etc/lykta/tls/ca.crt
{{- else if .Values.identity.caSecret -}}
/etc/lykta/issuer-ca/ca.crt
{{- end -}}
{{- end -}}

{{- define "lykta.issuerCaMount" -}}
{{- if and .Values.identity.caSecret (not .Values.demo.enabled) }}
- {name: issuer-ca, mountPath: /etc/lykta/issuer-ca, readOnly: true}
{{- else -}}
[]
{{- end }}
{{- end -}}

{{- define "lykta.issuerCaVolume" -}}
{{- if and .Values.identity.caSecret (not .Values.demo.enabled) }}
- name: issuer-ca
  secret: {secretName: {{ .Values.identity.caSecret }}, defaultMode: 0440, items: [{key: ca.crt, path: ca.crt}]}
{{- else -}}
[]
{{- end }}
{{- end -}}

{{- define "lykta.issuerEgress" -}}
{{- if .Values.demo.enabled }}
- {component: identity, ports: [{{ (include "lykta.contract" $ | fromYaml).ports.identity }}]}
{{- else }}
- {cidrs: {{ toJson .Values.identity.egress.cidrs }}, ports: {{ toJson .Values.identity.egress.ports }}}
{{- end }}
{{- end -}}

{{- define "lykta.priorityClass" -}}
{{- if .Values.priorityClass.create -}}
{{ .Release.Namespace }}-{{ include "lykta.fullname" . }}-recording
{{- else -}}
{{ .Values.priorityClass.name }}
{{- end -}}
{{- end -}}

{{- define "lykta.kekSecret" -}}
{{ .Values.keys.existingKekSecret | default (include "lykta.name" (list $ "controller-keys")) }}
{{- end -}}

{{- define "lykta.kekItems" -}}
{{- range .Values.keys.controllers }}
- {key: {{ . }}.key, path: kek/{{ . }}.key}
{{- else -}}
[]
{{- end }}
{{- end -}}

{{/* Credentials of cameras may come later: the file is there as soon as the Secret is. */}}
{{- define "lykta.cameraCredentials" -}}
{{- if .Values.ingest.cameras.credentialsSecret }}
- secret: {name: {{ .Values.ingest.cameras.credentialsSecret }}, items: [{key: cameras.json, path: cameras.json}]}
{{- else if .Values.demo.enabled }}
- secret: {name: {{ include "lykta.name" (list $ "demo-cameras") }}, items: [{key: cameras.json, path: cameras.json}]}
{{- else -}}
[]
{{- end }}
{{- end -}}

{{- define "lykta.cameraNetworks" -}}
{{- concat .Values.ingest.cameras.allow (ternary .Values.demo.cameraNetworks list .Values.demo.enabled) | toJson -}}
{{- end -}}

{{- define "lykta.cameraEgress" -}}
{{- with .Values.ingest.cameras.allow }}
- {cidrs: {{ toJson . }}, ports: {{ toJson $.Values.ingest.cameras.ports }}}
{{- end }}
{{- if .Values.demo.enabled }}
- {component: cameras, ports: [{{ (include "lykta.contract" $ | fromYaml).ports.cameras }}]}
{{- end }}
{{- if not (or .Values.demo.enabled .Values.ingest.cameras.allow) }}[]{{ end }}
{{- end -}}

{{/* KEDA: storage by the lag of its durable, ingest by cameras per recorder. */}}
{{- define "lykta.storageTriggers" -}}
- type: nats-jetstream
  metadata:
    natsServerMonitoringEndpoint: {{ .Values.autoscaling.natsMonitoringAddress | default (printf "%s-headless.%s.svc:%v" (include "lykta.name" (list $ "nats")) .Release.Namespace (include "lykta.contract" $ | fromYaml).ports.natsMonitor) | quote }}
    account: $G
    stream: FOOTAGE
    consumer: storage-footage
    lagThreshold: {{ .Values.storage.autoscaling.lag | quote }}
{{- end -}}

{{- define "lykta.ingestTriggers" -}}
{{- $scale := .Values.ingest.autoscaling -}}
{{- if and $scale.enabled (eq $scale.kind "keda") (not .Values.autoscaling.prometheusAddress) }}
{{- fail "autoscaling.prometheusAddress: KEDA asks Prometheus for the number of cameras; give its http:// address" }}
{{- end -}}
- type: prometheus
  metadata:
    serverAddress: {{ .Values.autoscaling.prometheusAddress | quote }}
    query: {{ printf "sum(lykta_ingest_cameras{namespace=%q})" .Release.Namespace | quote }}
    threshold: {{ .Values.ingest.autoscaling.camerasPerReplica | quote }}
{{- end -}}
