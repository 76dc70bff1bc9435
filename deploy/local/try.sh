#!/usr/bin/env bash
# Brings docker-compose.yml up for real, runs what deploy/README.md says, and takes everything down again:
#   sudo bash deploy/local/try.sh
# On a machine with Debian's docker.io, docker-compose, postgresql-15 and prometheus, and grpcurl, as root. It starts an engine of its own,
# away from any other, pulls no image, and listens on loopback only: ports 5432, 7420, 7421 and 9090 of 127.0.0.1 to 127.0.0.5.
# Where overlay2 is not to be had: SKIPLEASE_STORAGE_DRIVER=vfs, which takes longer.
set -euo pipefail
cd "$(dirname "$0")/../.."

engine=$(mktemp -d)
export DOCKER_HOST=unix://$engine/docker.sock
export COMPOSE_PROJECT_NAME=skiplease-local

say() { printf '\n$ %s\n' "$*"; "$@"; }

finish() {
  status=$?
  [ ! -e "$engine/compose.yml" ] || docker-compose -f "$engine/compose.yml" --profile load --profile security down --volumes --timeout 60 || true
  kill "$daemon" 2>/dev/null && wait "$daemon" || true
  umount "$engine"/run/netns/* 2>/dev/null || true
  rm -rf "$engine" ${own_secrets:+deploy/security/secrets}
  exit $status
}

dockerd --data-root "$engine/data" --exec-root "$engine/run" --pidfile "$engine/docker.pid" --host "$DOCKER_HOST" \
  --iptables=false --bridge=none --storage-driver="${SKIPLEASE_STORAGE_DRIVER:-overlay2}" >"$engine/log" 2>&1 &
daemon=$!
trap finish EXIT
for _ in $(seq 100); do docker info >/dev/null 2>&1 && break || sleep 0.2; done
docker info --format 'Docker {{.ServerVersion}}' || { tail "$engine/log"; exit 1; }

bash deploy/local/base_images.sh

if [ ! -e deploy/security/secrets ]; then
  bash deploy/security/make_secrets.sh
  own_secrets=yes
fi

# With host networking there is nothing to publish, and docker-compose 1.29 refuses the attempt.
docker-compose -f docker-compose.yml -f deploy/local/docker-compose.host.yml --profile load --profile security config |
  awk '/^    ports:/ { skip = 1; next } skip && /^    (- |  )/ { next } { skip = 0; print }' >"$engine/compose.yml"
compose() { docker-compose -f "$engine/compose.yml" "$@"; }
ask() { curl -sG http://127.0.0.4:9090/api/v1/query --data-urlencode "query=$1"; echo; }
grpcurl=$(command -v grpcurl || ls ~/.cache/skiplease/grpcurl*/grpcurl)

say compose build
docker image ls --format '{{.Repository}} {{.Size}}' | grep '^skiplease-[cw]'
say compose up --detach --scale worker=2
say compose ps
say compose exec -T worker node worker/payments/submit.ts
say "$grpcurl" -plaintext -d '{"queue": "payments"}' localhost:7420 skiplease.v1.QueueService/GetQueue
say compose --profile load up --detach --scale worker=4
sleep 30
say compose ps
say curl -s http://127.0.0.1:7421/readyz
say ask 'sum by (instance) (skiplease_sessions)'
say ask 'sum by (outcome) (rate(skiplease_completed_jobs_total[20s]))'
say compose stop coordinator-1
sleep 10
say ask 'skiplease_sessions'
say ask 'sum(skiplease_expired_jobs_total)'
say compose logs --no-color --tail=2 worker

secure=("$grpcurl" -cacert deploy/security/secrets/authority.pem -servername coordinator-secure -d '{"queue": "payments"}')
say compose stop load worker
say compose --profile security up --detach --no-recreate coordinator-secure worker-secure
say "${secure[@]}" 127.0.0.5:7420 skiplease.v1.QueueService/GetQueue || true
say "${secure[@]}" -H "authorization: Bearer $(cat deploy/security/secrets/operator_token)" 127.0.0.5:7420 skiplease.v1.QueueService/GetQueue
say curl -s --output /dev/null --write-out '%{http_code}\n' http://127.0.0.5:7421/metrics
say compose logs --no-color --tail=2 worker-secure
