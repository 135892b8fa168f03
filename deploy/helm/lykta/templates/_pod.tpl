{{/* The pod of every workload: restricted pod security, spread, probes, and an end longer than the drain. */}}

{{- define "lykta.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurity.user }}
runAsGroup: {{ .Values.podSecurity.user }}
fsGroup: {{ .Values.podSecurity.user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "lykta.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* dict root name spec → a pod template (metadata and spec) */}}
{{- define "lykta.podTemplate" -}}
{{- $root := .root -}}{{- $spec := .spec -}}
metadata:
  labels:
    {{- include "lykta.labels" (list $root .name) | nindent 4 }}
    {{- with $spec.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    lykta.io/configuration: {{ include "lykta.hash" (list $spec.env $spec.args $spec.configuration) }}
    {{- with $root.Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  {{- include "lykta.podSpec" . | nindent 2 }}
{{- end -}}

{{/* dict root name spec → the spec of a pod */}}
{{- define "lykta.podSpec" -}}
{{- $root := .root -}}{{- $spec := .spec -}}
automountServiceAccountToken: false
enableServiceLinks: false
serviceAccountName: {{ $spec.serviceAccount | default (include "lykta.name" (list $root .name)) }}
securityContext:
  {{- include "lykta.podSecurity" $root | nindent 2 }}
terminationGracePeriodSeconds: {{ $spec.graceSeconds | default $root.Values.termination.graceSeconds }}
{{- with $spec.restartPolicy }}
restartPolicy: {{ . }}
{{- end }}
{{- with $spec.priorityClass }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- if not $spec.restartPolicy }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "lykta.selector" (list $root $.name) | nindent 8 }}
affinity:
  # Not a second constraint above: the scheduler spreads by none of them over nodes that lack one's label.
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 50
        podAffinityTerm:
          topologyKey: topology.kubernetes.io/zone
          labelSelector:
            matchLabels:
              {{- include "lykta.selector" (list $root $.name) | nindent 14 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ $spec.image | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    securityContext:
      {{- include "lykta.containerSecurity" $root | nindent 6 }}
    {{- with $spec.command }}
    command: {{ toYaml . | nindent 6 }}
    {{- end }}
    {{- with $spec.args }}
    args: {{ toYaml . | nindent 6 }}
    {{- end }}
    {{- with $spec.env }}
    env: {{ toYaml . | nindent 6 }}
    {{- end }}
    {{- with $spec.ports }}
    ports:
      {{- range . }}
      - name: {{ .name }}
        containerPort: {{ .port }}
      {{- end }}
    {{- end }}
    resources: {{ required (printf "%s needs resources" .name) $spec.resources | toYaml | nindent 6 }}
    {{- range $probe := list "startupProbe" "readinessProbe" "livenessProbe" }}
    {{- with index $spec $probe }}
    {{ $probe }}: {{ toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
    {{- if not $spec.restartPolicy }}
    lifecycle:
      preStop:
        sleep:
          seconds: {{ $root.Values.termination.preStopSeconds }}
    {{- end }}
    volumeMounts: {{ toYaml $spec.mounts | nindent 6 }}
volumes: {{ toYaml $spec.volumes | nindent 2 }}
{{- end -}}
