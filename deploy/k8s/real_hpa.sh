#!/usr/bin/env bash
# Runs Kubernetes' own HorizontalPodAutoscaler, by the manifests here, on a load of real jobs: etcd, API server, controllers and Prometheus' adapter
# as released, on loopback and without a container; test/autoscale/README.md says what stands in for the rest. They are built once, from the registry of Go,
# into ~/.cache/skiplease/kubernetes; Prometheus has to be installed. Parameters go to test/autoscale/real/main.ts.
set -euo pipefail

kubernetes_version=1.37.2
etcd_version=v3.7.0
adapter_version=v0.12.0

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
# shellcheck source=deploy/k8s/tools.sh
. "$here/tools.sh"

# build PROGRAM PACKAGE [LINKER_FLAG...]: in the module that the working folder is.
build() {
  local program=$1 package=$2
  shift 2
  GOFLAGS=-mod=mod go build -p 2 -trimpath -ldflags "-s -w $*" -o "$program" "$package"
}

control_plane=$cache/control-plane-$kubernetes_version-$etcd_version
if [ ! -x "$control_plane/control-plane" ]; then
  mkdir -p "$control_plane"
  cp "$project/test/autoscale/real/control_plane.go" "$control_plane/main.go"
  cd "$control_plane"
  # Kubernetes' own go.mod takes its parts from folders beside it, which its module does not have: here they are the modules of the same release.
  kubernetes=$(GOFLAGS=-mod=mod go mod download -json "k8s.io/kubernetes@v$kubernetes_version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
  {
    printf 'module control-plane\n\n'
    grep -E '^go ' "$kubernetes"
    printf '\nrequire (\n\tk8s.io/kubernetes v%s\n\tgo.etcd.io/etcd/server/v3 %s\n)\n\nreplace (\n' "$kubernetes_version" "$etcd_version"
    sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\t\1 => \1 v0.${kubernetes_version#*.}#p" "$kubernetes"
    printf ')\n'
  } >go.mod
  build control-plane . -X "k8s.io/component-base/version.gitVersion=v$kubernetes_version"
fi

adapter=$cache/adapter-$adapter_version
if [ ! -x "$adapter/adapter" ]; then
  mkdir -p "$adapter"
  cd "$adapter"
  # `go install` would ask which versions there are, too, which a registry may refuse to tell.
  printf 'module adapter\n\ngo 1.22.1\n\nrequire sigs.k8s.io/prometheus-adapter %s\n' "$adapter_version" >go.mod
  build adapter sigs.k8s.io/prometheus-adapter/cmd/adapter
fi

kustomize=$(tool kustomize sigs.k8s.io/kustomize/kustomize/v5 "$kustomize_version")

trial=$(mktemp -d "$here/.trial.XXXXXX")
trap 'rm -rf "$trial"' EXIT
printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: skiplease\nresources: [../base]\ncomponents: [../components/prometheus-adapter]\n' \
  >"$trial/kustomization.yaml"
manifests=$("$kustomize" build "$trial")
rm -rf "$trial"
cd "$project"
node_modules/.bin/node test/autoscale/real/main.ts --control-plane "$control_plane/control-plane" --adapter "$adapter/adapter" "$@" <<<"$manifests"
