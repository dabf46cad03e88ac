{{- define "gridcwl.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gridcwl.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "gridcwl.selector" . }}
{{- end }}

{{- define "gridcwl.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gridcwl.secret" -}}
{{ .Values.database.existingSecret | default (printf "%s-database" (include "gridcwl.name" .)) }}
{{- end }}

{{- /* a pod: takes top, component, drivers and resources */ -}}
{{- define "gridcwl.pod" -}}
{{- $top := .top -}}
metadata:
  labels:
    {{- include "gridcwl.selector" $top | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  annotations:
    checksum/config: {{ include (print $top.Template.BasePath "/config.yaml") $top | sha256sum }}
    {{- with $top.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 120
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    seccompProfile: {type: RuntimeDefault}
  {{- with $top.Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: "{{ $top.Values.image.repository }}:{{ $top.Values.image.tag | default $top.Chart.AppVersion }}"
      imagePullPolicy: {{ $top.Values.image.pullPolicy }}
      args: ["--config", "/etc/gridcwl/service.toml", "--host", "0.0.0.0", "--port", "8080", "--drivers", {{ .drivers | quote }}]
      env:
        - name: PGPASSWORD
          valueFrom:
            secretKeyRef: {name: {{ include "gridcwl.secret" $top }}, key: password}
        {{- with $top.Values.credentialsSecret }}
        - name: GRIDCWL_CREDENTIALS_KEY
          valueFrom:
            secretKeyRef: {name: {{ . }}, key: key}
        {{- end }}
      ports:
        - {name: http, containerPort: 8080}
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      resources: {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: config, mountPath: /etc/gridcwl, readOnly: true}
        - {name: scratch, mountPath: /var/lib/gridcwl}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: config
      secret: {secretName: {{ include "gridcwl.name" $top }}-config}
    - name: scratch
      emptyDir: {sizeLimit: {{ $top.Values.scratch.sizeLimit }}}
    - name: tmp
      emptyDir: {}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
  {{- with index $top.Values $key }}
  {{ $key }}: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}
