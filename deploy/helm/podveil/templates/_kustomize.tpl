{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{/*
The chart has no objects of its own: it takes those of deploy/kubernetes (here: kubernetes/), so that both install the
same. What it understands of kustomize: `resources`, and `patches` that add something to the DaemonSet's environment or to the
settings.
*/}}

{{/* The files of a folder and of those that it takes in, one a line. (list . folder) */}}
{{- define "podveil.files" }}
{{- $root := index . 0 }}{{ $folder := index . 1 }}
{{- range ($root.Files.Get (printf "kubernetes/%s/kustomization.yaml" $folder) | fromYaml).resources }}
{{- $path := clean (printf "%s/%s" $folder .) }}
{{- if hasSuffix ".yaml" . }}
{{ $path }}
{{- else }}
{{- include "podveil.files" (list $root $path) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the patches for objects of a kind add, in JSON, one addition a line: {path, value}. (list . folder kind) */}}
{{- define "podveil.additions" }}
{{- $root := index . 0 }}{{ $folder := index . 1 }}{{ $kind := index . 2 }}
{{- $kustomization := $root.Files.Get (printf "kubernetes/%s/kustomization.yaml" $folder) | fromYaml }}
{{- range $kustomization.resources }}
{{- if not (hasSuffix ".yaml" .) }}
{{- include "podveil.additions" (list $root (clean (printf "%s/%s" $folder .)) $kind) }}
{{- end }}
{{- end }}
{{- range $kustomization.patches }}
{{- if eq .target.kind $kind }}
{{- range fromYamlArray .patch }}
{{- if ne .op "add" }}{{ fail (printf "the chart does not understand %q in a patch of %s" .op $folder) }}{{ end }}
{{ toJson . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "podveil.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
