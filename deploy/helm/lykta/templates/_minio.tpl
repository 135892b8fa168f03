{{/* MinIO: one server on one volume. */}}

{{- define "lykta.minioSpec" -}}
{{- $ports := (include "lykta.contract" $ | fromYaml).ports -}}{{- $minio := .Values.objectStore.minio -}}
kind: StatefulSet
replicas: 1
image: {{ printf "%s:%s" $minio.image.repository ($minio.image.tag | default .Chart.AppVersion) }}
command: [minio]
args: [server, /var/lib/lykta/objects, --address, ":{{ $ports.s3 }}", --certs-dir, /etc/minio/certs, --quiet]
resources: {{ toYaml $minio.resources | nindent 2 }}
storage: {{ toYaml $minio.storage | nindent 2 }}
ports:
  - {name: s3, port: {{ $ports.s3 }}, serve: true}
env:
  - {name: MINIO_ROOT_USER_FILE, value: /etc/minio/root/access-key}
  - {name: MINIO_ROOT_PASSWORD_FILE, value: /etc/minio/root/secret-key}
  - {name: MINIO_BROWSER, value: "off"}
  - {name: MINIO_UPDATE, value: "off"}
  - {name: HOME, value: /tmp}
mounts:
  - {name: state, mountPath: /var/lib/lykta}
  - {name: certificates, mountPath: /etc/minio/certs, readOnly: true}
  - {name: root, mountPath: /etc/minio/root, readOnly: true}
  - {name: tmp, mountPath: /tmp}
volumes:
  - name: certificates
    secret:
      secretName: {{ include "lykta.name" (list $ "minio") }}-tls
      defaultMode: 0440
      items:
        - {key: tls.crt, path: public.crt}
        - {key: tls.key, path: private.key}
        - {key: ca.crt, path: CAs/ca.crt}
  - name: root
    secret: {secretName: {{ include "lykta.name" (list $ "s3-root") }}, defaultMode: 0440}
  - name: tmp
    emptyDir: {sizeLimit: {{ .Values.scratchSize }} }
startupProbe:
  httpGet: {path: /minio/health/live, port: s3, scheme: HTTPS}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ .Values.probes.startupSeconds }}
readinessProbe:
  httpGet: {path: /minio/health/ready, port: s3, scheme: HTTPS}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /minio/health/live, port: s3, scheme: HTTPS}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
callers:
  - {port: s3, from: [ingest, storage, audit, setup, clients]}
egress: []
{{- end -}}
