#!/usr/bin/env bash
# Makes what the profile `security` of docker-compose.yml needs, in secrets/ beside this file: an authority, a certificate for the
# coordinator, and a token each for an operator, a submitter, a worker and the HTTP port. To try it out: an authority of your
# own does the same in earnest.
set -euo pipefail
umask 077
folder=$(dirname "$0")/secrets
mkdir -p "$folder"
cd "$folder"

curve=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
openssl req -x509 "${curve[@]}" -days 365 -subj '/CN=skiplease authority' -keyout authority.key -out authority.pem 2>/dev/null
openssl req -new "${curve[@]}" -subj '/CN=coordinator' -keyout coordinator.key -out coordinator.csr 2>/dev/null
openssl x509 -req -in coordinator.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 90 -out coordinator.pem \
  -extfile <(echo 'subjectAltName=DNS:coordinator-secure,DNS:localhost,IP:127.0.0.1') 2>/dev/null
rm coordinator.csr

# identity NAME CAPABILITIES QUEUES: its line of the file; the token stays in NAME_token.
identity() {
  openssl rand -hex 32 >"$1_token"
  printf '    { "name": "%s", "token_sha256": ["%s"], "grants": [{ "can": [%s], "queues": ["%s"] }] }' \
    "$1" "$(tr -d '\n' <"$1_token" | sha256sum | cut -d' ' -f1)" "$2" "$3"
}

printf '{\n  "identities": [\n%s,\n%s,\n%s\n  ]\n}\n' "$(identity operator '"admin"' '*')" \
  "$(identity submitter '"submit", "read"' payments)" "$(identity worker '"work"' payments)" >identities.json
openssl rand -hex 32 >http_token

# The containers' user reads them.
if [ "$(id -u)" -eq 0 ]; then chown -R 1000:1000 .; fi
