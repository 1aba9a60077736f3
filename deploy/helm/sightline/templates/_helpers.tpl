{{- define "sightline.labels" -}}
app.kubernetes.io/name: sightline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "sightline.image" -}}
{{- $tag := .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- if .gpu }}{{ $tag = .root.Values.image.gpuTag | default (printf "%s-gpu" $tag) }}{{ end -}}
{{ .root.Values.image.repository }}:{{ $tag }}
{{- end }}

{{- define "sightline.env" -}}
{{- $v := .root.Values -}}
{{- $env := dict
  "KAFKA_BOOTSTRAP_SERVERS" (required "kafka.bootstrapServers is missing" $v.kafka.bootstrapServers)
  "SIGHTLINE_KAFKA__SECURITY_PROTOCOL" $v.kafka.securityProtocol
  "SIGHTLINE_ENCRYPTION__KEYS" "file:/run/secrets/sightline/encryption-keys"
  "SIGHTLINE_ENCRYPTION__REQUIRED" "true"
  "SIGHTLINE_AUDIT__SIGNING_KEY" "file:/run/secrets/sightline/audit-signing-key"
  "SIGHTLINE_HOME" "/data"
  "SIGHTLINE_LOG_FORMAT" "json"
  "SIGHTLINE_METRICS_HOST" "0.0.0.0"
  "SIGHTLINE_METRICS_PORT" "9100"
  "AWS_DEFAULT_REGION" $v.objects.region -}}
{{- if not $v.env.DB_SECRET_NAME }}
{{- $_ := set $env "SIGHTLINE_DATABASE_PASSWORD" "file:/run/secrets/sightline/database-password" }}
{{- $_ := required "database.url is missing" $v.database.url }}
{{- end }}
{{- with $v.database.url }}{{ $_ := set $env "DATABASE_URL" . }}{{ end }}
{{- with $v.kafka.username }}
{{- $_ := set $env "SIGHTLINE_KAFKA__SASL_USERNAME" . }}
{{- $_ := set $env "SIGHTLINE_KAFKA__SASL_PASSWORD" "file:/run/secrets/sightline/kafka-password" }}
{{- end }}
{{- if $v.kafka.caSecret }}{{ $_ := set $env "SIGHTLINE_KAFKA__SSL_CA" "/run/secrets/kafka/ca.crt" }}{{ end }}
{{- if $v.objects.bucket }}
{{- $_ := set $env "S3_BUCKET" $v.objects.bucket }}
{{- with $v.objects.endpointUrl }}{{ $_ := set $env "S3_ENDPOINT_URL" . }}{{ end }}
{{- else }}
{{- $_ := required "objects.bucket or objects.existingClaim is missing" $v.objects.existingClaim }}
{{- end }}
{{- if $v.models.existingClaim }}{{ $_ := set $env "SIGHTLINE_MODELS" "/models" }}{{ end }}
{{- range $name, $value := merge (dict) (.env | default dict) $v.env $env }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
- name: SIGHTLINE_INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end }}

{{- define "sightline.security" -}}
automountServiceAccountToken: false
serviceAccountName: {{ .root.Release.Name }}-sightline
terminationGracePeriodSeconds: 20
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sightline.container" -}}
image: {{ include "sightline.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .args }}
env: {{- include "sightline.env" . | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
  - {name: secrets, mountPath: /run/secrets/sightline, readOnly: true}
  {{- if .root.Values.kafka.caSecret }}
  - {name: kafka-ca, mountPath: /run/secrets/kafka, readOnly: true}
  {{- end }}
  {{- if .root.Values.objects.existingClaim }}
  - {name: objects, mountPath: /data/objects}
  {{- end }}
  {{- if .root.Values.models.existingClaim }}
  - {name: models, mountPath: /models, readOnly: true}
  {{- end }}
  {{- if .tls }}
  - {name: tls, mountPath: /run/secrets/tls, readOnly: true}
  {{- end }}
{{- end }}

{{- define "sightline.volumes" -}}
{{- if not .spool }}
- {name: data, emptyDir: {}}
{{- end }}
- {name: tmp, emptyDir: {}}
- name: secrets
  secret: {secretName: {{ required "existingSecret is missing" .root.Values.existingSecret }}, defaultMode: 0440}
{{- with .root.Values.kafka.caSecret }}
- {name: kafka-ca, secret: {secretName: {{ . }}}}
{{- end }}
{{- with .root.Values.objects.existingClaim }}
- {name: objects, persistentVolumeClaim: {claimName: {{ . }}}}
{{- end }}
{{- with .root.Values.models.existingClaim }}
- {name: models, persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}}
{{- end }}
{{- with .tls }}
- {name: tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{- /* A service of Sightline: pods that keep their names take their work over at once. */}}
{{- define "sightline.workload" -}}
{{- $full := printf "%s-%s" .root.Release.Name .name }}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $full }}
  labels: {{- include "sightline.labels" . | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .replicas }}
  {{- end }}
  serviceName: {{ .root.Release.Name }}-sightline
  podManagementPolicy: Parallel
  selector:
    matchLabels: {{- include "sightline.labels" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "sightline.labels" . | nindent 8 }}
        sightline/fleet: {{ .fleet | default "default" }}
    spec:
      {{- include "sightline.security" . | nindent 6 }}
      {{- with .nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with .tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .service }}
          {{- include "sightline.container" . | nindent 10 }}
          ports:
            - {name: metrics, containerPort: 9100}
            {{- if .port }}
            - {name: api, containerPort: {{ .port }}}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 5
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 15
            timeoutSeconds: 5
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 5
            timeoutSeconds: 5
          {{- $resources := deepCopy .resources }}
          {{- if .gpu }}{{ $resources = mergeOverwrite $resources (dict "limits" (dict "nvidia.com/gpu" 1)) }}{{ end }}
          resources: {{- toYaml $resources | nindent 12 }}
      volumes: {{- include "sightline.volumes" . | nindent 8 }}
  {{- if .spool }}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .root.Values.cameras.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .spool }}}}
  {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $full }}
  labels: {{- include "sightline.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "sightline.labels" . | nindent 6 }}
{{- end }}
