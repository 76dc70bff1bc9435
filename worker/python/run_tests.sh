#!/bin/sh
# Installs what requirements-dev.txt pins into .venv (once, and again when it changes), then runs pytest; arguments are
# pytest's. What needs a coordinator or a database runs when SKIPLEASE_TEST_ADDRESS and SKIPLEASE_TEST_DATABASE_URL name
# them, and is skipped otherwise.
# With --install-only it stops before the tests.
set -eu
cd "$(dirname "$0")"
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$python is not Python 3.10 or newer" >&2; exit 1; }
wanted=$(cat requirements.txt requirements-dev.txt; "$python" -V)
if [ ! -f .venv/installed ] || [ "$(cat .venv/installed)" != "$wanted" ]; then
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --retries 1 --only-binary :all: -r requirements-dev.txt
  printf '%s\n' "$wanted" > .venv/installed
fi
[ "${1:-}" != --install-only ] || exit 0
exec .venv/bin/python -m pytest "$@"
