{{/* PostgreSQL: one server on one volume. */}}

{{- define "lykta.postgresqlSpec" -}}
{{- $contract := include "lykta.contract" $ | fromYaml -}}{{- $postgresql := .Values.database.postgresql -}}
kind: StatefulSet
replicas: 1
image: {{ printf "%s:%s" $postgresql.image.repository ($postgresql.image.tag | default .Chart.AppVersion) }}
command: [/bin/sh, /etc/postgresql-lykta/start.sh]
configuration: {{ include "lykta.hash" (list (.Files.Get "files/postgresql-start.sh") (.Files.Get "files/postgresql.conf") (.Files.Get "files/pg_hba.conf")) }}
resources: {{ toYaml $postgresql.resources | nindent 2 }}
storage: {{ toYaml $postgresql.storage | nindent 2 }}
ports:
  - {name: postgresql, port: {{ $contract.ports.postgresql }}, serve: true}
env:
  - {name: LYKTA_ROLES, value: {{ $contract.databases | join " " }}}
mounts:
  - {name: state, mountPath: /var/lib/lykta}
  - {name: configuration, mountPath: /etc/postgresql-lykta, readOnly: true}
  - {name: configuration, mountPath: /etc/passwd, subPath: passwd, readOnly: true}
  - {name: tls, mountPath: /etc/lykta/tls, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  - {name: shared-memory, mountPath: /dev/shm}
volumes:
  - name: configuration
    configMap: {name: {{ include "lykta.name" (list $ "postgresql") }} }
  - name: tls
    secret: {secretName: {{ include "lykta.name" (list $ "postgresql") }}-tls, defaultMode: 0440}
  - name: tmp
    emptyDir: {sizeLimit: {{ .Values.scratchSize }} }
  - name: shared-memory
    emptyDir: {medium: Memory, sizeLimit: 128Mi}
startupProbe:
  tcpSocket: {port: postgresql}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ .Values.probes.startupSeconds }}
readinessProbe:
  tcpSocket: {port: postgresql}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  tcpSocket: {port: postgresql}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
callers:
  - {port: postgresql, from: {{ $contract.databases | toJson }}}
egress: []
{{- end -}}
