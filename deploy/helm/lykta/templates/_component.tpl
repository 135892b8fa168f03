{{/* Everything one component consists of, from one specification: pods, account, service, disruption, network, scale. */}}

{{/* dict root name spec → all objects of a component */}}
{{- define "lykta.component" -}}
{{- with .spec.Error }}{{ fail (printf "%s: %s" $.name .) }}{{ end -}}
{{ include "lykta.serviceAccount" . }}
---
{{ include "lykta.workload" . }}
{{- if .spec.ports }}
---
{{ include "lykta.service" . }}
{{- end }}
{{- if .root.Values.podDisruptionBudgets.enabled }}
---
{{ include "lykta.podDisruptionBudget" . }}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
{{ include "lykta.networkPolicy" . }}
{{- end }}
{{- include "lykta.autoscaler" . }}
{{- include "lykta.serviceMonitor" . }}
{{- end -}}

{{- define "lykta.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "lykta.metadata" (list .root .name) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}

{{- define "lykta.workload" -}}
{{- $spec := .spec -}}
apiVersion: apps/v1
kind: {{ $spec.kind }}
metadata:
  {{- include "lykta.metadata" (list .root .name) | nindent 2 }}
spec:
  {{- if not (and $spec.autoscaling $spec.autoscaling.enabled) }}
  replicas: {{ $spec.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "lykta.selector" (list .root .name) | nindent 6 }}
  {{- if eq $spec.kind "StatefulSet" }}
  serviceName: {{ include "lykta.name" (list .root .name) }}-headless
  podManagementPolicy: Parallel
  updateStrategy:
    type: RollingUpdate
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: Retain
    whenScaled: Retain
  volumeClaimTemplates:
    - metadata:
        name: state
        labels:
          {{- include "lykta.selector" (list .root .name) | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $spec.storage.class }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $spec.storage.size }}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: {{ $spec.maxUnavailable | default 0 }}
      maxSurge: {{ $spec.maxSurge | default 0 }}
  {{- end }}
  template:
    {{- include "lykta.podTemplate" . | nindent 4 }}
{{- end -}}

{{- define "lykta.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "lykta.metadata" (list .root .name) | nindent 2 }}
spec:
  type: ClusterIP
  {{- include "lykta.servicePorts" . | nindent 2 }}
{{- if or (eq .spec.kind "StatefulSet") .spec.headless }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "lykta.name" (list .root .name) }}-headless
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lykta.labels" (list .root .name) | nindent 4 }}
spec:
  type: ClusterIP
  clusterIP: None
  publishNotReadyAddresses: {{ eq .spec.kind "StatefulSet" }}
  {{- include "lykta.servicePorts" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "lykta.servicePorts" -}}
selector:
  {{- include "lykta.selector" (list .root .name) | nindent 2 }}
ports:
  {{- range .spec.ports }}
  {{- if .serve }}
  - name: {{ .name }}
    port: {{ .port }}
    targetPort: {{ .name }}
    protocol: TCP
  {{- end }}
  {{- end }}
{{- end -}}

{{- define "lykta.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "lykta.metadata" (list .root .name) | nindent 2 }}
spec:
  # One at a time: a budget of "none" would hold up a drain forever where there is one replica.
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "lykta.selector" (list .root .name) | nindent 6 }}
{{- end -}}

{{- define "lykta.autoscaler" -}}
{{- $scale := .spec.autoscaling | default dict -}}
{{- if and $scale.enabled (eq $scale.kind "hpa") }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "lykta.metadata" (list .root .name) | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ .spec.kind }}
    name: {{ include "lykta.name" (list .root .name) }}
  minReplicas: {{ $scale.minReplicas }}
  maxReplicas: {{ $scale.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $scale.cpuPercent }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 600
{{- end }}
{{- if and $scale.enabled (eq $scale.kind "keda") }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "lykta.metadata" (list .root .name) | nindent 2 }}
spec:
  scaleTargetRef:
    kind: {{ .spec.kind }}
    name: {{ include "lykta.name" (list .root .name) }}
  minReplicaCount: {{ $scale.minReplicas }}
  maxReplicaCount: {{ $scale.maxReplicas }}
  cooldownPeriod: 600
  triggers:
    {{- toYaml .spec.triggers | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "lykta.serviceMonitor" -}}
{{- $monitor := .root.Values.metrics.serviceMonitor -}}
{{- if and $monitor.enabled .spec.scrape }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "lykta.metadata" (list .root .name) | nindent 2 }}
    {{- with $monitor.labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  selector:
    matchLabels:
      {{- include "lykta.selector" (list .root .name) | nindent 6 }}
  endpoints:
    - port: metrics
      path: /metrics
      interval: {{ $monitor.interval }}
{{- end }}
{{- end -}}
