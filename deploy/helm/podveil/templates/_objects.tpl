{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{/* (list . text) */}}
{{- define "podveil.daemonset" -}}
{{- $root := index . 0 }}{{ $object := index . 1 | fromYaml }}
{{- $values := $root.Values }}
{{- if and (eq $values.base "strict") (eq (toString $values.settings.podveilStrictMode) "false") }}
{{- fail "base strict and podveilStrictMode false contradict each other: take base plain" }}
{{- end }}
{{- /* An agent prefers its environment to the settings, so what is among the settings is not set there, too. */}}
{{- $set := list }}
{{- range $name, $_ := $values.settings }}
{{- $set = append $set (printf "PODVEIL_%s" (trimPrefix "podveil" $name | upper)) }}
{{- end }}
{{- $pod := $object.spec.template.spec }}
{{- $agent := first $pod.containers }}
{{- range include "podveil.additions" (list $root $values.base "DaemonSet") | trim | splitList "\n" | compact }}
{{- $addition := fromJson . }}
{{- if ne $addition.path "/spec/template/spec/containers/0/env/-" }}
{{- fail (printf "the chart does not understand a patch of %s" $addition.path) }}
{{- end }}
{{- if not (has $addition.value.name $set) }}
{{- $_ := set $agent "env" (append $agent.env $addition.value) }}
{{- end }}
{{- end }}
{{- $_ := set $agent "args" (concat $agent.args $values.extraArgs) }}
{{- $rights := dict }}
{{- range ($root.Files.Get "kubernetes/unprivileged.patch.yaml" | fromYaml).spec.template.spec.containers }}
{{- $_ := set $rights .name .securityContext }}
{{- end }}
{{- range $pod.containers }}
{{- $_ := set . "image" (include "podveil.image" $root) }}
{{- $_ := set . "imagePullPolicy" $values.image.pullPolicy }}
{{- if not $values.privileged }}{{ $_ := set . "securityContext" (get $rights .name) }}{{ end }}
{{- end }}
{{- with $values.resources }}{{ $_ := set $agent "resources" . }}{{ end }}
{{- range $name := list "imagePullSecrets" "nodeSelector" "tolerations" }}
{{- with get $values $name }}{{ $_ := set $pod $name . }}{{ end }}
{{- end }}
{{- toYaml $object }}
{{- end }}

{{/* (list . text) */}}
{{- define "podveil.configuration" -}}
{{- $root := index . 0 }}{{ $object := index . 1 | fromYaml }}
{{- range include "podveil.additions" (list $root $root.Values.base "PodveilConfiguration") | trim | splitList "\n" | compact }}
{{- $addition := fromJson . }}
{{- if ne $addition.path "/spec" }}{{ fail (printf "the chart does not understand a patch of %s" $addition.path) }}{{ end }}
{{- $_ := set $object "spec" $addition.value }}
{{- end }}
{{- $_ := set $object "spec" (merge (deepCopy $root.Values.settings) $object.spec) }}
{{- toYaml $object }}
{{- end }}
