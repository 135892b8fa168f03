{{/* Network policy: nothing in or out but what a component's specification names. */}}

{{/* dict root name spec → one policy for the component's pods */}}
{{- define "lykta.networkPolicy" -}}
{{- $root := .root -}}{{- $spec := .spec -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "lykta.metadata" (list $root .name) | nindent 2 }}
  {{- with .annotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "lykta.selector" (list $root .name) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with $spec.callers }}
  ingress:
    {{- range . }}
    - from:
        {{- range $caller := .from }}
        {{- include "lykta.peer" (list $root $caller) | nindent 8 }}
        {{- end }}
      ports:
        - protocol: TCP
          port: {{ .port }}
    {{- end }}
  {{- else }}
  ingress: []
  {{- end }}
  egress:
    - to:
        - namespaceSelector:
            matchLabels: {{ toYaml $root.Values.networkPolicy.dns.namespaceLabels | nindent 14 }}
          podSelector:
            matchLabels: {{ toYaml $root.Values.networkPolicy.dns.podLabels | nindent 14 }}
      ports:
        - {protocol: UDP, port: 53}
        - {protocol: TCP, port: 53}
    {{- range $spec.egress }}
    - to:
        {{- with .component }}
        {{- include "lykta.peer" (list $root .) | nindent 8 }}
        {{- end }}
        {{- range .cidrs }}
        - ipBlock:
            cidr: {{ . }}
        {{- end }}
      ports:
        {{- range .ports }}
        - protocol: TCP
          port: {{ . }}
        {{- end }}
    {{- end }}
{{- end -}}

{{/* list $ caller → one peer: a component, "clients" (pods that carry the client label) or "prometheus" */}}
{{- define "lykta.peer" -}}
{{- $root := index . 0 -}}{{- $caller := index . 1 -}}
{{- if eq $caller "clients" }}
- podSelector:
    matchLabels: {{ toYaml $root.Values.networkPolicy.clientLabels | nindent 6 }}
{{- else if eq $caller "prometheus" }}
- namespaceSelector:
    matchLabels: {{ toYaml $root.Values.networkPolicy.prometheusNamespaceLabels | nindent 6 }}
{{- else }}
- podSelector:
    matchLabels:
      {{- include "lykta.selector" (list $root $caller) | nindent 6 }}
{{- end }}
{{- end -}}
