#!/bin/sh
# Inside an image build: install the checkout in the working directory, and what it needs, into the
# active virtual environment.  install-locked.sh [EXTRA...]
#
# Each package is taken in the version that requirements.lock names. Only wheels are taken: nothing of
# a download runs before its digest was compared with the lock's. The lock holds the packages of every
# extra; as constraints it says which version, and pip finds out which of them are needed.
set -eu

# Optional build secrets; absent or empty where the host needs none.
if [ -s /run/secrets/pip-conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip-conf; fi
if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -e 's/ *\\$//' -e '/^ *--hash/d' -e '/^ *#/d' requirements.lock >"$work/versions"
python3 - "$@" >"$work/needed" <<'PROGRAM'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
for requirement in project["dependencies"]:
    print(requirement)
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")
PROGRAM

pip download --quiet --only-binary :all: --constraint "$work/versions" --requirement "$work/needed" --dest "$work/wheels"
for wheel in "$work"/wheels/*.whl; do
  grep -q "sha256:$(sha256sum "$wheel" | cut -c 1-64)" requirements.lock || {
    echo "$(basename "$wheel") is not what requirements.lock names" >&2
    exit 1
  }
done
pip install --quiet --no-index --no-deps "$work"/wheels/*.whl
pip install --quiet --no-deps . # the build backend comes from the index; it is not part of the image
pip check
