{{/* Where NATS, the object store and the database are: those of this chart, or external ones. */}}

{{- define "lykta.natsUrl" -}}
{{- if .Values.nats.external.enabled -}}
{{- required "nats.external.url: give tls://host:port of the external NATS" .Values.nats.external.url -}}
{{- else -}}
tls://{{ include "lykta.name" (list $ "nats") }}:{{ (include "lykta.contract" $ | fromYaml).ports.nats }}
{{- end -}}
{{- end -}}

{{- define "lykta.natsSecret" -}}
{{- if .Values.nats.external.enabled -}}
{{- required "nats.external.existingSecret: name the Secret with one password per NATS user" .Values.nats.external.existingSecret -}}
{{- else -}}
{{ include "lykta.name" (list $ "nats-users") }}
{{- end -}}
{{- end -}}

{{- define "lykta.natsEgress" }}
{{- if .Values.nats.external.enabled }}
- {cidrs: {{ toJson .Values.nats.external.cidrs }}, ports: {{ toJson .Values.nats.external.ports }}}
{{- else }}
- {component: nats, ports: [{{ (include "lykta.contract" $ | fromYaml).ports.nats }}]}
{{- end }}
{{- end -}}

{{- define "lykta.s3Endpoint" -}}
{{- if .Values.objectStore.external.enabled -}}
{{- $endpoint := required "objectStore.external.endpoint: give https://host:port of the external store" .Values.objectStore.external.endpoint -}}
{{- if not (hasPrefix "https://" $endpoint) }}{{ fail "objectStore.external.endpoint: must begin with https://" }}{{ end -}}
{{- $endpoint -}}
{{- else -}}
https://{{ include "lykta.name" (list $ "minio") }}:{{ (include "lykta.contract" $ | fromYaml).ports.s3 }}
{{- end -}}
{{- end -}}

{{- define "lykta.s3Secret" -}}
{{- if .Values.objectStore.external.enabled -}}
{{- required "objectStore.external.existingSecret: name the Secret with one <service>.json per service" .Values.objectStore.external.existingSecret -}}
{{- else -}}
{{ include "lykta.name" (list $ "s3-accounts") }}
{{- end -}}
{{- end -}}

{{- define "lykta.s3CaFile" -}}
{{- if not .Values.objectStore.external.enabled -}}
/etc/lykta/tls/ca.crt
{{- else if .Values.objectStore.external.caSecret -}}
/etc/lykta/s3-ca/ca.crt
{{- else -}}
/etc/ssl/certs/ca-certificates.crt
{{- end -}}
{{- end -}}

{{- define "lykta.s3Egress" }}
{{- if .Values.objectStore.external.enabled }}
- {cidrs: {{ toJson .Values.objectStore.external.cidrs }}, ports: {{ toJson .Values.objectStore.external.ports }}}
{{- else }}
- {component: minio, ports: [{{ (include "lykta.contract" $ | fromYaml).ports.s3 }}]}
{{- end }}
{{- end -}}

{{/* list $ own → mounts and volumes of external servers' own CAs, as lists of {name, secret} */}}
{{- define "lykta.externalCas" -}}
{{- $values := (index . 0).Values -}}{{- $own := index . 1 -}}{{- $found := list -}}
{{- if and $own.objectStore $values.objectStore.external.enabled $values.objectStore.external.caSecret -}}
{{- $found = append $found (dict "name" "s3-ca" "secret" $values.objectStore.external.caSecret) -}}
{{- end -}}
{{- if and $own.database $values.database.external.enabled $values.database.external.caSecret -}}
{{- $found = append $found (dict "name" "database-ca" "secret" $values.database.external.caSecret) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "lykta.caMount" -}}
{{- range include "lykta.externalCas" . | fromJsonArray }}
- {name: {{ .name }}, mountPath: /etc/lykta/{{ .name }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "lykta.caVolume" -}}
{{- range include "lykta.externalCas" . | fromJsonArray }}
- name: {{ .name }}
  secret: {secretName: {{ .secret }}, defaultMode: 0440, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end -}}

{{/* dict root name own → DATABASE_URL: with the workload's certificate here, from a Secret where external */}}
{{- define "lykta.databaseEnvironment" -}}
{{- $root := .root -}}
{{- $contract := include "lykta.contract" $root | fromYaml -}}
{{- $prefix := (index $contract.services .name).prefix }}
{{- if $root.Values.database.external.enabled }}
- name: {{ $prefix }}DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "database.external.existingSecret: name the Secret with one SQLAlchemy URL per service" $root.Values.database.external.existingSecret }}
      key: {{ .name }}
{{- with $root.Values.database.external.caSecret }}
- name: PGSSLROOTCERT
  value: /etc/lykta/database-ca/ca.crt
{{- end }}
{{- else }}
- name: {{ $prefix }}DATABASE_URL
  value: postgresql+asyncpg://{{ .name }}@{{ include "lykta.name" (list $root "postgresql") }}:{{ $contract.ports.postgresql }}/{{ .name }}?ssl=verify-full
- name: PGSSLROOTCERT
  value: /etc/lykta/tls/ca.crt
- name: PGSSLCERT
  value: /etc/lykta/tls/tls.crt
- name: PGSSLKEY
  value: /etc/lykta/tls/tls.key
{{- end }}
{{- end -}}

{{- define "lykta.databaseEgress" }}
{{- if .Values.database.external.enabled }}
- {cidrs: {{ toJson .Values.database.external.cidrs }}, ports: {{ toJson .Values.database.external.ports }}}
{{- else }}
- {component: postgresql, ports: [{{ (include "lykta.contract" $ | fromYaml).ports.postgresql }}]}
{{- end }}
{{- end -}}
