#!/usr/bin/env bash
# Writes the rules and alerts of this folder anew for the Prometheus operator: into deploy/k8s/components/monitoring.
set -euo pipefail
cd "$(dirname "$0")"
{
  cat <<'HEAD'
# The rules and alerts of deploy/prometheus, for the Prometheus operator: deploy/prometheus/for_operator.sh writes it, a test compares.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: skiplease
spec:
  groups:
HEAD
  for file in recording_rules.yml alerts.yml; do sed '1,/^groups:$/d; s/^./  &/' "$file"; done
} >../k8s/components/monitoring/prometheus_rule.yaml
