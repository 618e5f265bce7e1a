#!/bin/sh
# Compiles the hot modules of the sidecar that is installed in DIRECTORY, beside their sources,
# which Python then leaves alone: accelerate.sh MYPYC PYTHON DIRECTORY
# Run it where the sources are. PYTHON has the packages that the sidecar needs. Needs a C compiler.
set -eu
mypyc=$1 python=$2 directory=$3
modules=$(cat "$(dirname "$0")/accelerated.txt")
settings=$PWD/pyproject.toml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R sidecar "$work"
directory=$(cd "$directory" && pwd)
cd "$work"
# shellcheck disable=SC2086 # a list
MYPYPATH=. "$mypyc" --config-file "$settings" --python-executable "$python" $modules > log 2>&1 || {
  tail -20 log >&2
  exit 1
}
rm -r build
find . -name '*.so' | while read -r compiled; do cp "$compiled" "$directory/$compiled"; done
