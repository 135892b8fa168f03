{{/* The demo's pods, and what every client pod of the platform mounts (the demo's founding, `helm test`, a toolbox). */}}

{{- define "lykta.identitySpec" -}}
{{- $ports := (include "lykta.contract" $ | fromYaml).ports -}}
kind: Deployment
replicas: 1
maxUnavailable: 1
image: {{ include "lykta.image" (list $ "standalone") }}
command: [python, -m, lykta_standalone.cluster]
args: [identity, --issuer, {{ include "lykta.issuer" $ | quote }}, --port, {{ $ports.identity | quote }}]
resources: {{ toYaml .Values.demo.resources | nindent 2 }}
ports:
  - {name: identity, port: {{ $ports.identity }}, serve: true}
mounts:
  - {name: tls, mountPath: /etc/lykta/tls, readOnly: true}
  - {name: secrets, mountPath: /etc/lykta/secrets, readOnly: true}
  - {name: tmp, mountPath: /tmp}
volumes:
  - name: tls
    secret: {secretName: {{ include "lykta.name" (list $ "identity") }}-tls, defaultMode: 0440}
  - name: secrets
    secret:
      secretName: {{ include "lykta.name" (list $ "identity-client") }}
      defaultMode: 0440
      items: [{key: secret, path: identity-client}]
  - name: tmp
    emptyDir: {sizeLimit: {{ .Values.scratchSize }} }
startupProbe:
  tcpSocket: {port: identity}
  periodSeconds: 1
  failureThreshold: {{ .Values.probes.startupSeconds }}
readinessProbe:
  httpGet: {path: /development/.well-known/openid-configuration, port: identity, scheme: HTTPS}
  periodSeconds: 2
livenessProbe:
  tcpSocket: {port: identity}
  periodSeconds: 10
callers:
  - {port: identity, from: [access-control, clients]}
egress: []
{{- end -}}

{{- define "lykta.camerasSpec" -}}
{{- $ports := (include "lykta.contract" $ | fromYaml).ports -}}
kind: Deployment
replicas: 1
maxUnavailable: 1
image: {{ include "lykta.image" (list $ "standalone") }}
command: [python, -m, lykta_standalone.cluster]
args: [cameras, --footage, {{ .Values.demo.footage | quote }}, --port, {{ $ports.cameras | quote }}]
resources: {{ toYaml .Values.demo.resources | nindent 2 }}
ports:
  - {name: cameras, port: {{ $ports.cameras }}, serve: true}
mounts:
  - {name: secrets, mountPath: /etc/lykta/secrets, readOnly: true}
  - {name: tmp, mountPath: /tmp}
volumes:
  - name: secrets
    secret: {secretName: {{ include "lykta.name" (list $ "demo-cameras") }}, defaultMode: 0440}
  - name: tmp
    emptyDir: {sizeLimit: {{ .Values.scratchSize }} }
startupProbe:
  tcpSocket: {port: cameras}
  periodSeconds: 1
  failureThreshold: {{ .Values.probes.startupSeconds }}
readinessProbe:
  tcpSocket: {port: cameras}
  periodSeconds: 2
livenessProbe:
  tcpSocket: {port: cameras}
  periodSeconds: 10
callers:
  - {port: cameras, from: [ingest]}
egress: []
{{- end -}}

{{/* A pod of the demo to run `python -m lykta_standalone …` in: attached, with every person's way in. */}}
{{- define "lykta.toolboxSpec" -}}
{{- $client := include "lykta.clientPod" $ | fromYaml -}}
{{- $directory := "/tmp/lykta" -}}
kind: Deployment
replicas: 1
maxUnavailable: 1
image: {{ include "lykta.image" (list $ "standalone") }}
command: [python, -m, lykta_standalone.cluster]
args: [toolbox, {{ $directory }}]
env: {{ concat $client.env (list (dict "name" "HOME" "value" "/tmp") (dict "name" "LYKTA_STATE" "value" $directory)) | toJson }}
podLabels: {{ toJson $client.podLabels }}
resources: {{ toYaml .Values.demo.resources | nindent 2 }}
mounts: {{ append $client.mounts (dict "name" "tmp" "mountPath" "/tmp") | toJson }}
volumes: {{ append $client.volumes (dict "name" "tmp" "emptyDir" (dict "sizeLimit" .Values.scratchSize)) | toJson }}
{{- range $probe := list "startupProbe" "readinessProbe" "livenessProbe" }}
{{ $probe }}:
  exec: {command: [test, -f, {{ $directory }}/run/platform.json]}
  periodSeconds: {{ ternary 10 2 (eq $probe "livenessProbe") }}
  timeoutSeconds: 5
  failureThreshold: {{ ternary $.Values.probes.startupSeconds 3 (eq $probe "startupProbe") }}
{{- end }}
egress: {{ include "lykta.clientEgress" $ | fromYamlArray | toJson }}
{{- end -}}

{{/* The attach points: what a client pod finds where; values that begin with "file:" are read from their file. */}}
{{- define "lykta.attachPoints" -}}
state_dir: /tmp/lykta
nats_url: {{ include "lykta.natsUrl" $ }}
{{- $grpc := dict }}
{{- range keys (include "lykta.contract" $ | fromYaml).services }}
{{- $values := include "lykta.serviceValues" (list $ .) | fromYaml }}
{{- if or (gt (int $values.replicas) 0) (and $values.autoscaling $values.autoscaling.enabled) }}
{{- $_ := set $grpc . (include "lykta.grpcAddress" (list $ .)) }}
{{- end }}
{{- end }}
grpc: {{ toJson $grpc }}
s3_endpoint: {{ include "lykta.s3Endpoint" $ }}
s3_buckets:
  footage: {{ .Values.objectStore.buckets.footage }}
  audit: {{ .Values.objectStore.buckets.audit }}
s3_credentials_file: /etc/lykta/secrets/s3.json
oidc_issuer: {{ include "lykta.issuer" $ }}
ca_file: /etc/lykta/tls/ca.crt
clients:
  cli: {certificate_file: /etc/lykta/tls/tls.crt, key_file: /etc/lykta/tls/tls.key}
  {{- if .Values.demo.enabled }}
  test-tool: {certificate_file: /etc/lykta/test-tool/tls.crt, key_file: /etc/lykta/test-tool/tls.key}
  {{- end }}
audit_origin: {{ include "lykta.auditOrigin" $ }}
audit_verifier_key: file:/etc/lykta/secrets/public/audit-log.vkey
recorder_key_file: /etc/lykta/secrets/public/recorder-0.pub.pem
profile: {{ .Values.profile }}
oidc_client_secret_file: {{ ternary "/etc/lykta/secrets/identity-client" "" .Values.demo.enabled | quote }}
otlp_endpoint: {{ .Values.telemetry.otlpEndpoint | quote }}
{{- end -}}

{{- define "lykta.clientPod" -}}
podLabels: {{ toYaml .Values.networkPolicy.clientLabels | nindent 2 }}
env:
  - {name: SSL_CERT_FILE, value: {{ include "lykta.s3CaFile" $ | quote }} }
mounts:
  - {name: platform, mountPath: /etc/lykta/platform, readOnly: true}
  - {name: tls, mountPath: /etc/lykta/tls, readOnly: true}
  - {name: secrets, mountPath: /etc/lykta/secrets, readOnly: true}
  {{- if .Values.demo.enabled }}
  - {name: test-tool, mountPath: /etc/lykta/test-tool, readOnly: true}
  {{- end }}
  {{- include "lykta.caMount" (list $ (dict "objectStore" true)) | nindent 2 }}
volumes:
  - name: platform
    configMap: {name: {{ include "lykta.name" (list $ "platform") }} }
  - name: tls
    secret: {secretName: {{ include "lykta.name" (list $ "cli") }}-tls, defaultMode: 0440}
  {{- if .Values.demo.enabled }}
  - name: test-tool
    secret: {secretName: {{ include "lykta.name" (list $ "test-tool") }}-tls, defaultMode: 0440}
  {{- end }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        - secret:
            name: {{ include "lykta.name" (list $ "public-keys") }}
            items:
              - {key: audit-log.vkey, path: public/audit-log.vkey}
              - {key: recorder-0.pub.pem, path: public/recorder-0.pub.pem}
        - secret:
            name: {{ include "lykta.s3Secret" $ }}
            items: [{key: reader.json, path: s3.json}]
        {{- if .Values.demo.enabled }}
        - secret:
            name: {{ include "lykta.name" (list $ "identity-client") }}
            items: [{key: secret, path: identity-client}]
        {{- end }}
  {{- include "lykta.caVolume" (list $ (dict "objectStore" true)) | nindent 2 }}
{{- end -}}

{{/* A client reaches every service, the object store (the log is public to its readers) and the demo's provider. */}}
{{- define "lykta.clientEgress" -}}
{{- $ports := (include "lykta.contract" $ | fromYaml).ports -}}
{{- range keys (include "lykta.contract" $ | fromYaml).services | sortAlpha }}
- {component: {{ . }}, ports: [{{ $ports.grpc }}]}
{{- end }}
{{- include "lykta.s3Egress" $ }}
{{- if .Values.demo.enabled }}
- {component: identity, ports: [{{ $ports.identity }}]}
{{- end }}
{{- end -}}
