#!/usr/bin/env bash
# Makes images that stand in for those of registries, out of programs of this machine (Debian's packages postgresql-15 and
# prometheus, npm, and the project's own Node 24): each is copied with the libraries that it is linked to, and no more.
set -euo pipefail
cd "$(dirname "$0")/../.."

roots=$(mktemp -d)
trap 'rm -rf "$roots"' EXIT

# copy ROOT FILE...: to the same place under the root, links followed, with the libraries.
copy() {
  local root=$1 file
  shift
  for file in "$@"; do
    (cd / && cp --parents -rL "${file#/}" "$root")
    [ -d "$file" ] || libraries "$file" | while read -r library; do (cd / && cp --parents -nL "${library#/}" "$root"); done
  done
}

libraries() {
  ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' || true
}

# root NAME: an empty one, with what every program expects.
root() {
  local root=$roots/$1
  mkdir -p "$root"/{tmp,etc,usr/local/bin,usr/bin,bin,lib,lib64}
  chmod 755 "$root" && chmod 1777 "$root/tmp"
  printf 'root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
  echo "$root"
}

# import NAME OPTION...: the root becomes an image.
import() {
  local name=$1
  shift
  tar --create --directory "$roots/$name" . | docker import "$@" - "skiplease-local/$name" >/dev/null
  docker image inspect --format "skiplease-local/$name {{.Size}} bytes" "skiplease-local/$name"
}

node=$PWD/node_modules/node/bin/node

runtime=$(root runtime)
libraries "$node" | while read -r library; do (cd / && cp --parents -L "${library#/}" "$runtime"); done
import runtime

builder=$(root node)
libraries "$node" | while read -r library; do (cd / && cp --parents -nL "${library#/}" "$builder"); done
cp -L "$node" "$builder/usr/local/bin/node"
copy "$builder" /bin/sh /bin/rm /usr/bin/env "$(npm root --global 2>/dev/null)/npm"
ln -s "$(npm root --global 2>/dev/null)/npm/bin/npm-cli.js" "$builder/usr/local/bin/npm"
# Where this machine's npm finds packages, and whom it trusts.
mkdir -p "$builder/root" "$builder/usr/local/etc"
copy "$builder" /etc/ssl/certs/ca-certificates.crt
npm config get registry 2>/dev/null | sed 's/^/registry=/' >"$builder/usr/local/etc/npmrc"
import node --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'

postgres=$(root postgres)
copy "$postgres" /usr/lib/postgresql/15 /usr/share/postgresql/15 /usr/share/zoneinfo /bin/sh /bin/cat /bin/mkdir /bin/rm
# Its compiler is larger than all the rest; without it plans are interpreted.
rm -rf "$postgres"/usr/lib/postgresql/15/lib/{llvmjit.so,bitcode}
for program in "$postgres"/usr/lib/postgresql/15/bin/* "$postgres"/usr/lib/postgresql/15/lib/*.so; do
  libraries "$program" | while read -r library; do (cd / && cp --parents -nL "${library#/}" "$postgres"); done
done
install -m 755 deploy/local/postgres_entrypoint.sh "$postgres/usr/local/bin/entrypoint"
mkdir -p "$postgres/var/lib/postgresql" && chown 999:999 "$postgres/var/lib/postgresql"
import postgres --change 'ENV PATH=/usr/local/bin:/usr/lib/postgresql/15/bin:/usr/bin:/bin' --change 'USER 999:999' \
  --change 'ENTRYPOINT ["/usr/local/bin/entrypoint"]'

prometheus=$(root prometheus)
copy "$prometheus" /usr/bin/prometheus
mkdir -p "$prometheus/prometheus" && chown 65534:65534 "$prometheus/prometheus"
import prometheus --change 'USER 65534' --change 'ENTRYPOINT ["/usr/bin/prometheus"]'
