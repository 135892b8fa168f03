{{/* Jobs that run our `standalone` image: what they share. */}}

{{/* dict root name args env mounts volumes restartPolicy deadlineSeconds → the spec of a Job */}}
{{- define "lykta.jobSpec" -}}
backoffLimit: {{ .backoffLimit | default 6 }}
activeDeadlineSeconds: {{ .root.Values.jobs.deadlineSeconds }}
template:
  {{- $spec := dict
      "image" (include "lykta.image" (list .root "standalone"))
      "command" (.command | default (list "python" "-m" "lykta_standalone.cluster"))
      "args" .args
      "env" (concat (list (dict "name" "HOME" "value" "/tmp")) (.env | default list))
      "resources" .root.Values.jobs.resources
      "restartPolicy" "Never"
      "graceSeconds" 10
      "serviceAccount" .serviceAccount
      "mounts" (append (.mounts | default list) (dict "name" "tmp" "mountPath" "/tmp"))
      "volumes" (append (.volumes | default list) (dict "name" "tmp" "emptyDir" (dict "sizeLimit" .root.Values.scratchSize)))
  }}
  {{- include "lykta.podTemplate" (dict "root" .root "name" .name "spec" $spec) | nindent 2 }}
{{- end -}}

{{/* list hook weight → annotations of a hook's object */}}
{{- define "lykta.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
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
