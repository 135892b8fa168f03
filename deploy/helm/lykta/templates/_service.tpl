{{/* What our five services share: environment, secrets, probes, ports and neighbours around a short specification. */}}

{{/* dict root name own → all objects of one service; `own` is the specification in its template file */}}
{{- define "lykta.platformService" -}}
{{- $spec := include "lykta.serviceSpec" . | fromYaml -}}
{{- with $spec.Error }}{{ fail (printf "%s: %s" $.name .) }}{{ end -}}
{{- include "lykta.component" (dict "root" .root "name" .name "spec" $spec) -}}
{{- end -}}

{{/* list $ name → the values of a service */}}
{{- define "lykta.serviceValues" -}}
{{- index (index . 0).Values (camelcase (index . 1 | replace "-" "_") | untitle) | toYaml -}}
{{- end -}}

{{- define "lykta.serviceSpec" -}}
{{- $root := .root -}}{{- $name := .name -}}{{- $own := .own -}}
{{- $contract := include "lykta.contract" $root | fromYaml -}}
{{- $ports := $contract.ports -}}{{- $facts := index $contract.services $name -}}
{{- $values := include "lykta.serviceValues" (list $root $name) | fromYaml -}}
kind: {{ $own.kind | default "Deployment" }}
replicas: {{ $values.replicas }}
maxUnavailable: {{ $own.maxUnavailable | default 0 }}
maxSurge: {{ $own.maxSurge | default (ternary 0 1 (gt (int $own.maxUnavailable) 0)) }}
image: {{ include "lykta.image" (list $root $name) }}
command: [python, -m, {{ $facts.package }}]
scrape: true
headless: true
priorityClass: {{ $own.priorityClass | default "" | quote }}
resources: {{ toYaml $values.resources | nindent 2 }}
{{- with $values.storage }}
storage: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.autoscaling }}
autoscaling: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.triggers }}
triggers: {{ toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: grpc, port: {{ $ports.grpc }}, serve: true}
  - {name: health, port: {{ $ports.health }}}
  - {name: metrics, port: {{ $ports.metrics }}, serve: true}
env:
  {{- include "lykta.serviceEnvironment" . | nindent 2 }}
mounts:
  - {name: tls, mountPath: /etc/lykta/tls, readOnly: true}
  - {name: secrets, mountPath: /etc/lykta/secrets, readOnly: true}
  - {name: state, mountPath: /var/lib/lykta}
  - {name: tmp, mountPath: /tmp}
  {{- include "lykta.caMount" (list $root $own) | nindent 2 }}
  {{- with $own.mounts }}{{ toYaml . | nindent 2 }}{{ end }}
volumes:
  - name: tls
    secret:
      secretName: {{ include "lykta.name" (list $root $name) }}-tls
      defaultMode: 0440
  {{- include "lykta.serviceSecrets" . | nindent 2 }}
  {{- if ne $own.kind "StatefulSet" }}
  - name: state
    emptyDir:
      sizeLimit: {{ $root.Values.scratchSize }}
  {{- end }}
  - name: tmp
    emptyDir:
      sizeLimit: {{ $root.Values.scratchSize }}
  {{- include "lykta.caVolume" (list $root $own) | nindent 2 }}
  {{- with $own.volumes }}{{ toYaml . | nindent 2 }}{{ end }}
startupProbe:
  grpc: {port: {{ $ports.health }}, service: live}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ $root.Values.probes.startupSeconds }}
readinessProbe:
  {{- /* Who stands by is not serving, and must still count as ready: an upgrade would wait for it for ever. */}}
  grpc: {port: {{ $ports.health }}{{ if $own.standby }}, service: live{{ end }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  grpc: {port: {{ $ports.health }}, service: live}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
callers:
  - {port: grpc, from: {{ append ($own.callers | default list) "clients" | uniq | toJson }}}
  {{- if $root.Values.metrics.scraped }}
  - {port: metrics, from: [prometheus]}
  {{- end }}
egress:
  {{- include "lykta.serviceEgress" . | nindent 2 }}
{{- end -}}

{{/* The service's settings as environment variables, named as the code names them. */}}
{{- define "lykta.serviceEnvironment" -}}
{{- $root := .root -}}{{- $name := .name -}}{{- $own := .own -}}
{{- $contract := include "lykta.contract" $root | fromYaml -}}
{{- $ports := $contract.ports -}}{{- $facts := index $contract.services $name -}}
{{- $values := include "lykta.serviceValues" (list $root $name) | fromYaml -}}
{{- $settings := dict
    "PROFILE" $root.Values.profile
    "STATE_DIR" "/var/lib/lykta"
    "NATS_URL" (include "lykta.natsUrl" $root)
    "NATS_USER" $name
    "NATS_PASSWORD_FILE" "/etc/lykta/secrets/nats-password"
    "TLS_CA_FILE" "/etc/lykta/tls/ca.crt"
    "TLS_CERTIFICATE_FILE" "/etc/lykta/tls/tls.crt"
    "TLS_KEY_FILE" "/etc/lykta/tls/tls.key"
    "GRPC_LISTEN" (printf "0.0.0.0:%v" $ports.grpc)
    "HEALTH_LISTEN" (printf "0.0.0.0:%v" $ports.health)
    "METRICS_LISTEN" (printf "0.0.0.0:%v" $ports.metrics)
    "OTLP_ENDPOINT" $root.Values.telemetry.otlpEndpoint
    "LOG_FORMAT" $root.Values.log.format
    "LOG_LEVEL" $root.Values.log.level
-}}
{{- if $own.objectStore -}}
{{- $settings = merge $settings (dict
    "S3_ENDPOINT" (include "lykta.s3Endpoint" $root)
    "S3_REGION" $root.Values.objectStore.region
    "S3_CREDENTIALS_FILE" "/etc/lykta/secrets/s3.json") -}}
{{- end -}}
{{- range $callee := $own.calls -}}
{{- $setting := printf "%s_ADDRESS" (upper $callee | replace "-" "_") -}}
{{- $settings = merge $settings (dict $setting (include "lykta.grpcAddresses" (list $root $callee))) -}}
{{- end -}}
{{- $settings = mergeOverwrite $settings ($own.settings | default dict) ($values.settings | default dict) -}}
{{- range $key := keys $settings | sortAlpha }}
{{- if not (has $key $facts.settings) }}
{{- fail (printf "%s.settings.%s: the service knows no such setting; it knows %s (docs/config.md)" $name $key (join ", " $facts.settings)) }}
{{- end }}
- name: {{ $facts.prefix }}{{ $key }}
  value: {{ get $settings $key | toString | quote }}
{{- end }}
- name: {{ $facts.prefix }}REPLICA
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if $own.objectStore }}
- name: SSL_CERT_FILE
  value: {{ include "lykta.s3CaFile" $root | quote }}
{{- end }}
{{- if $own.database }}
{{- include "lykta.databaseEnvironment" . }}
{{- end }}
{{- end -}}

{{/* One volume with every secret file of the service, and no other's. */}}
{{- define "lykta.serviceSecrets" -}}
{{- $root := .root -}}{{- $name := .name -}}{{- $own := .own -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "lykta.natsSecret" $root }}
          items:
            - {key: {{ $name }}, path: nats-password}
      {{- if $own.objectStore }}
      - secret:
          name: {{ include "lykta.s3Secret" $root }}
          items:
            - {key: {{ $name }}.json, path: s3.json}
      {{- end }}
      {{- range $own.signingKeys }}
      - secret:
          name: {{ include "lykta.name" (list $root "signing-keys") }}
          items:
            - {key: {{ . }}.pem, path: {{ . }}.pem}
      {{- end }}
      {{- with $own.publicKeys }}
      - secret:
          name: {{ include "lykta.name" (list $root "public-keys") }}
          items:
            {{- range . }}
            - {key: {{ . }}.pub.pem, path: public/{{ . }}.pub.pem}
            {{- end }}
      {{- end }}
      {{- with $own.secretFiles }}{{ toYaml . | nindent 6 }}{{ end }}
{{- end -}}

{{- define "lykta.serviceEgress" -}}
{{- $root := .root -}}{{- $own := .own -}}
{{- $ports := (include "lykta.contract" $root | fromYaml).ports -}}
{{- include "lykta.natsEgress" $root }}
{{- if $own.objectStore }}{{ include "lykta.s3Egress" $root }}{{ end }}
{{- if $own.database }}{{ include "lykta.databaseEgress" $root }}{{ end }}
{{- range $own.calls }}
- {component: {{ . }}, ports: [{{ $ports.grpc }}]}
{{- end }}
{{- with $root.Values.telemetry.egress.cidrs }}
- {cidrs: {{ toJson . }}, ports: {{ toJson $root.Values.telemetry.egress.ports }}}
{{- end }}
{{- with $own.egress }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end -}}
