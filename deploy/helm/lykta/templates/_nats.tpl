{{/* NATS: its configuration from the code's table of users, and its pods. */}}

{{- define "lykta.natsConfiguration" -}}
{{- $contract := include "lykta.contract" $ | fromYaml -}}{{- $ports := $contract.ports -}}
{{- $name := include "lykta.name" (list $ "nats") -}}
server_name: $POD_NAME
listen: "0.0.0.0:{{ $ports.nats }}"
http: "0.0.0.0:{{ $ports.natsMonitor }}"
max_payload: {{ int64 .Values.nats.maxPayloadBytes }}
jetstream {
  store_dir: /var/lib/lykta/jetstream
  sync_interval: always
  max_file_store: {{ int64 .Values.nats.fileStoreBytes }}
  max_memory_store: 0
}
tls {
  cert_file: /etc/lykta/tls/tls.crt
  key_file: /etc/lykta/tls/tls.key
  ca_file: /etc/lykta/tls/ca.crt
  verify: true
}
{{- if gt (int .Values.nats.replicas) 1 }}
cluster {
  name: {{ $name }}
  listen: "0.0.0.0:{{ $ports.natsCluster }}"
  no_advertise: true
  tls {
    cert_file: /etc/lykta/tls/tls.crt
    key_file: /etc/lykta/tls/tls.key
    ca_file: /etc/lykta/tls/ca.crt
    verify: true
  }
  routes: [
    {{- range $i := until (int .Values.nats.replicas) }}
    "tls://{{ $name }}-{{ $i }}.{{ $name }}-headless.{{ $.Release.Namespace }}.svc:{{ $ports.natsCluster }}"
    {{- end }}
  ]
}
{{- end }}
authorization {
  users: [
    {{- range $contract.nats.users }}
    {
      user: {{ .user | quote }}
      password: ${{ include "lykta.natsVariable" .user }}
      permissions {
        publish: {{ toRawJson .publish }}
        subscribe: {{ toRawJson .subscribe }}
      }
    }
    {{- end }}
    {{- range $subscriber := $.Values.nats.subscribers }}
    {
      user: {{ .user | quote }}
      password: ${{ include "lykta.natsVariable" .user }}
      permissions {
        publish: {{ include "lykta.subscriberSubjects" (list $contract.nats.subscriber.publish $subscriber) }}
        subscribe: {{ include "lykta.subscriberSubjects" (list $contract.nats.subscriber.subscribe $subscriber) }}
      }
    }
    {{- end }}
  ]
}
{{- end -}}

{{- define "lykta.natsVariable" -}}
NATS_PASSWORD_{{ . | upper | replace "-" "_" }}
{{- end -}}

{{/* list subjects subscriber → JSON list; the code's table has USER and CONTROLLER in their places */}}
{{- define "lykta.subscriberSubjects" -}}
{{- $subscriber := index . 1 -}}
{{- index . 0 | toRawJson | replace "USER" $subscriber.user | replace "CONTROLLER" $subscriber.controller -}}
{{- end -}}

{{- define "lykta.natsSpec" -}}
{{- $contract := include "lykta.contract" $ | fromYaml -}}{{- $ports := $contract.ports -}}
kind: StatefulSet
replicas: {{ .Values.nats.replicas }}
image: {{ printf "%s:%s" .Values.nats.image.repository (.Values.nats.image.tag | default .Chart.AppVersion) }}
command: [nats-server]
args: [-c, /etc/nats/nats.conf]
configuration: {{ include "lykta.natsConfiguration" $ | sha256sum }}
resources: {{ toYaml .Values.nats.resources | nindent 2 }}
storage: {{ toYaml .Values.nats.storage | nindent 2 }}
ports:
  - {name: nats, port: {{ $ports.nats }}, serve: true}
  - {name: cluster, port: {{ $ports.natsCluster }}}
  - {name: monitor, port: {{ $ports.natsMonitor }}, serve: true}
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- range concat $contract.nats.users .Values.nats.subscribers }}
  - name: {{ include "lykta.natsVariable" .user }}
    valueFrom: {secretKeyRef: {name: {{ include "lykta.natsSecret" $ }}, key: {{ .user }} } }
  {{- end }}
mounts:
  - {name: state, mountPath: /var/lib/lykta}
  - {name: configuration, mountPath: /etc/nats, readOnly: true}
  - {name: tls, mountPath: /etc/lykta/tls, readOnly: true}
  - {name: tmp, mountPath: /tmp}
volumes:
  - name: configuration
    configMap: {name: {{ include "lykta.name" (list $ "nats") }} }
  - name: tls
    secret: {secretName: {{ include "lykta.name" (list $ "nats") }}-tls, defaultMode: 0440}
  - name: tmp
    emptyDir: {sizeLimit: {{ .Values.scratchSize }} }
startupProbe:
  httpGet: {path: "/healthz?js-server-only=true", port: monitor}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ .Values.probes.startupSeconds }}
readinessProbe:
  httpGet: {path: "/healthz?js-server-only=true", port: monitor}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet: {path: "/healthz?js-enabled-only=true", port: monitor}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
callers:
  - {port: nats, from: [ingest, analytics, storage, access-control, audit, setup, clients]}
  {{- if gt (int .Values.nats.replicas) 1 }}
  - {port: cluster, from: [nats]}
  {{- end }}
  {{- if or .Values.metrics.scraped (eq .Values.storage.autoscaling.kind "keda") }}
  - {port: monitor, from: [prometheus]}
  {{- end }}
egress:
  {{- if gt (int .Values.nats.replicas) 1 }}
  - {component: nats, ports: [{{ $ports.natsCluster }}]}
  {{- else }}
  []
  {{- end }}
{{- end -}}
