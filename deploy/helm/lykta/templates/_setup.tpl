{{/* The setup job's own part of its pod. */}}

{{- define "lykta.setupJob" -}}
args: [setup, /etc/lykta/plan/plan.json]
backoffLimit: 20
env:
  - {name: SSL_CERT_FILE, value: {{ include "lykta.s3CaFile" $ | quote }}}
mounts:
  - {name: plan, mountPath: /etc/lykta/plan, readOnly: true}
  - {name: tls, mountPath: /etc/lykta/tls, readOnly: true}
  - {name: secrets, mountPath: /etc/lykta/secrets, readOnly: true}
  {{- include "lykta.caMount" (list $ (dict "objectStore" true)) | nindent 2 }}
volumes:
  - name: plan
    configMap: {name: {{ include "lykta.name" (list $ "setup") }} }
  - name: tls
    secret: {secretName: {{ include "lykta.name" (list $ "setup") }}-tls, defaultMode: 0440}
  {{- include "lykta.caVolume" (list $ (dict "objectStore" true)) | nindent 2 }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        - secret:
            name: {{ include "lykta.natsSecret" $ }}
            items: [{key: bootstrap, path: nats-password}]
        - secret:
            name: {{ include "lykta.s3Secret" $ }}
            {{- if .Values.objectStore.external.enabled }}
            items: [{key: bootstrap.json, path: s3/bootstrap.json}]
            {{- else }}
            items:
              {{- range (include "lykta.contract" $ | fromYaml).s3Accounts }}
              - {key: {{ . }}.json, path: s3/{{ . }}.json}
              {{- end }}
            {{- end }}
        {{- if not .Values.objectStore.external.enabled }}
        - secret:
            name: {{ include "lykta.name" (list $ "s3-root") }}
            items: [{key: bootstrap.json, path: s3/bootstrap.json}]
        {{- end }}
{{- end -}}
