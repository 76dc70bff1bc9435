#!/usr/bin/env bash
# Builds each overlay, and each component on the base, and holds the result against the schemas of Kubernetes, KEDA and the Prometheus
# operator. What that needs is fetched once, from the registries of Go and Python, into ~/.cache/skiplease/kubernetes.
set -euo pipefail

kubeconform_version=v0.7.0
kubernetes_version=1.34.0
schemas_version=1.37.0
keda_version=v2.21.0
operator_version=v0.85.0

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/k8s/tools.sh
. "$here/tools.sh"

# sources MODULE VERSION: fetches the sources of a module, and says where they are.
sources() {
  (cd "$cache" && GOFLAGS=-mod=mod go mod download -json "$1@$2") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

kustomize=$(tool kustomize sigs.k8s.io/kustomize/kustomize/v5 $kustomize_version)
kubeconform=$(tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform $kubeconform_version)

python=$cache/python-$schemas_version
[ -x "$python/bin/kubernetes-validate" ] || { python3 -m venv "$python" && "$python/bin/pip" install --quiet "kubernetes-validate==$schemas_version"; }
# They name themselves, and one another, by places on a web server: here they are files beside each other.
kubernetes=$cache/kubernetes-$kubernetes_version-$schemas_version
if [ ! -d "$kubernetes" ]; then
  rm -rf "$kubernetes.new"
  cp -r "$python"/lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema/v$kubernetes_version-local-strict "$kubernetes.new"
  sed -i.before -e 's#"/api/_definitions.json#"_definitions.json#' -e 's#"$id": "https:#"x-id": "https:#' "$kubernetes.new"/*.json
  mv "$kubernetes.new" "$kubernetes"
fi

custom=$cache/custom-$keda_version-$operator_version
if [ ! -d "$custom" ]; then
  "$python/bin/python" "$here/crd_schemas.py" "$custom.new" \
    "$(sources github.com/kedacore/keda/v2 $keda_version)"/config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml \
    "$(sources github.com/prometheus-operator/prometheus-operator $operator_version)"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml
  mv "$custom.new" "$custom"
fi

# check NAME FOLDER: builds it, and validates what comes out.
check() {
  printf '%s: ' "$1"
  "$kustomize" build "$2" | "$kubeconform" -strict -summary \
    -schema-location "$kubernetes/{{ .ResourceKind }}{{ .KindSuffix }}.json" \
    -schema-location "$custom/{{ .Group }}/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json"
}

for overlay in "$here"/overlays/*/; do
  check "$(basename "$overlay")" "$overlay"
done

# kustomize takes no absolute paths.
trial=$(mktemp -d "$here/.trial.XXXXXX")
trap 'rm -rf "$trial"' EXIT
for components in prometheus-adapter keda-prometheus keda-external monitoring mutual-tls 'keda-external keda-external-tls mutual-tls'; do
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: skiplease\nresources: [../base]\ncomponents:\n'
    for component in $components; do echo "  - ../components/$component"; done
  } >"$trial/kustomization.yaml"
  check "base with $components" "$trial"
done
