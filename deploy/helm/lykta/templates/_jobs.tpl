{{/* Jobs that run our `standalone` image: what they share. */}}

{{/* dict root name args env mounts volumes restartPolicy deadlineSeconds → the spec of a Job */}}
{{- define "lykta.jobSpec" -}}
backoffLimit: {{ .backoffLimit | default 6 }}
activeDeadlineSeconds: {{ .root.Values.jobs.deadlineSeconds }}
podFailurePolicy:
  rules:
    # What somebody must change first is not tried again.
    - action: FailJob
      onExitCodes: {operator: In, values: [78]}
template:
  {{- include "lykta.podTemplate" (dict "root" .root "name" .name "spec" (include "lykta.standaloneSpec" . | fromYaml)) | nindent 2 }}
{{- end -}}

{{/* dict root name args env mounts volumes podLabels serviceAccount → the specification of a pod that runs once */}}
{{- define "lykta.standaloneSpec" -}}
image: {{ include "lykta.image" (list .root "standalone") }}
command: [python, -m, lykta_standalone.cluster]
args: {{ toJson .args }}
env: {{ concat (list (dict "name" "HOME" "value" "/tmp")) (.env | default list) | toJson }}
resources: {{ toJson .root.Values.jobs.resources }}
restartPolicy: Never
graceSeconds: 10
{{- with .serviceAccount }}
serviceAccount: {{ . }}
{{- end }}
{{- with .podLabels }}
podLabels: {{ toJson . }}
{{- end }}
mounts: {{ append (.mounts | default list) (dict "name" "tmp" "mountPath" "/tmp") | toJson }}
volumes: {{ append (.volumes | default list) (dict "name" "tmp" "emptyDir" (dict "sizeLimit" .root.Values.scratchSize)) | toJson }}
{{- end -}}

{{/* dict root name args own → the spec of a pod of its own that runs once */}}
{{- define "lykta.standalonePod" -}}
{{- $spec := include "lykta.standaloneSpec" (merge (dict "root" .root "name" .name "args" .args) .own) | fromYaml -}}
{{- include "lykta.podSpec" (dict "root" .root "name" .name "spec" $spec) -}}
{{- end -}}

{{/* list hook weight → annotations of a hook's object */}}
{{- define "lykta.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-output-log-policy: hook-failed
{{- end -}}

{{/* A token of the Kubernetes API for ten minutes, in the pods of the two jobs that ask for one and in no other. */}}
{{- define "lykta.apiTokenVolume" -}}
name: api-token
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 600}
    - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end -}}

{{/* dict root name hook rules → account, role and binding of a hook */}}
{{- define "lykta.hookAccount" -}}
{{- $root := .root -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "lykta.metadata" (list $root .name) | nindent 2 }}
  annotations: {{ include "lykta.hook" (list .hook -20) | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "lykta.metadata" (list $root .name) | nindent 2 }}
  annotations: {{ include "lykta.hook" (list .hook -20) | nindent 4 }}
rules: {{ toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "lykta.metadata" (list $root .name) | nindent 2 }}
  annotations: {{ include "lykta.hook" (list .hook -20) | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "lykta.name" (list $root .name) }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "lykta.name" (list $root .name) }}, namespace: {{ $root.Release.Namespace }}}
{{- if $root.Values.networkPolicy.enabled }}
---
{{ include "lykta.networkPolicy" (dict "root" $root "name" .name "annotations" (include "lykta.hook" (list .hook -20) | fromYaml) "spec" (dict "egress" (list (dict "cidrs" $root.Values.networkPolicy.apiServer.cidrs "ports" $root.Values.networkPolicy.apiServer.ports)))) }}
{{- end }}
{{- end -}}
