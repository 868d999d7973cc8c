#!/usr/bin/env bash
# A real Kubernetes control plane for the tests: etcd, kube-apiserver, kube-controller-manager and kubectl.
# KUBEBUILDER_ASSETS names a folder that has them all; else they are made from Debian 12's own packages
# (Kubernetes 1.20; about 3 minutes of two cores, 3 GB of disk meanwhile, once per user), so that it works where no
# container registry can be reached. Nothing is installed. Where neither is possible it says what will be
# skipped. tests/support/cluster.py looks for the programs in the same places.
set -euo pipefail

programs=(etcd kube-apiserver kube-controller-manager kubectl)
recipe=1 # a new number builds anew
release=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fleetbus/kubernetes
bin=$cache/$release-$recipe

skip() {
  echo "$1: tests on a real Kubernetes API server are skipped"
  exit 0
}

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  lacking=
  for program in "${programs[@]}"; do
    [[ -x $KUBEBUILDER_ASSETS/$program ]] || lacking+=" $program"
  done
  if [[ -z $lacking ]]; then
    echo "Kubernetes of KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS"
    exit 0
  fi
  # envtest's own assets are so: without controllers nothing becomes ready and no namespace ends
  echo "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS is not used: it lacks$lacking"
fi

# Everything that was built, unchanged since.
is_there() { (cd "$bin" 2>/dev/null && sha256sum --quiet --strict --check SHA256SUMS >/dev/null 2>&1); }

if is_there; then
  echo "Kubernetes is there: $bin"
  exit 0
fi
for tool in apt-get dpkg flock tar xz sed awk; do
  command -v "$tool" >/dev/null || skip "no $tool to build Kubernetes with (needs Debian or a derivative)"
done
[[ -r $keyring ]] || skip "no $keyring to check Debian's packages with"

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # somebody else's build is waited for
if is_there; then
  echo "Kubernetes is there: $bin"
  exit 0
fi

# Beside the result, not in /tmp: that may be small, or in memory. What a killed run left goes first.
rm -rf "$cache"/work.*
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# Debian's packages, with lists and settings of their own: this host's are neither read nor changed.
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' "Codename: $release" \
  'Created-By: Packages' 2>/dev/null | head -1)}
mirror=${mirror:-http://deb.debian.org/debian}
mkdir -p "$work"/{lists/partial,archives/partial,debs,source,root,out}
printf '%s [signed-by=%s] %s %s main\n' deb "$keyring" "$mirror" "$release" deb-src "$keyring" "$mirror" "$release" \
  >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::Cache "$work";
APT::Sandbox::User "";
CONF
fetch() {
  export APT_CONFIG=$work/apt.conf
  apt-get -qq update &&
    (cd "$work/debs" && apt-get -qq download golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev \
      etcd-server kubernetes-client) &&
    (cd "$work/source" && apt-get -qq source --download-only kubernetes)
}
echo "building Kubernetes from Debian's source package (about 3 minutes, once) ..."
fetch >"$cache/build.log" 2>&1 || skip "Debian's packages cannot be had from $mirror; see $cache/build.log"
for package in "$work"/debs/*.deb; do dpkg -x "$package" "$work/root"; done

tree=$work/go/src/k8s.io/kubernetes
mkdir -p "$tree" "$work/tmp"
tar -xf "$work"/source/kubernetes_*.orig.tar.* -C "$tree" --strip-components=1

prepare_sources() {
  # The reflect2 in the tree corrupts memory under Go 1.18 and later (the API server dies of the first custom
  # resource); Debian's is the one that was mended for it.
  rm -r vendor/github.com/modern-go/reflect2
  cp -r "$work/root/usr/share/gocode/src/github.com/modern-go/reflect2" vendor/github.com/modern-go/
  # Server-side apply of a Service port without "protocol" fails in 1.20; 1.21 mended it by this default.
  sed -i '/^type ServicePort struct/,/^}/ s|^\tProtocol Protocol |\t// +default="TCP"\n&|' \
    staging/src/k8s.io/api/core/v1/types.go
}

# The one generated file that is not part of the sources: the OpenAPI definitions of all types.
generate_openapi() {
  local found
  found=$(grep -rl --include='*.go' '^// *+k8s:openapi-gen=' vendor/k8s.io/*/ pkg cmd plugin |
    grep -vE '^vendor/k8s.io/(code-generator|sample-apiserver|kube-openapi)/' | xargs -n1 dirname |
    LC_ALL=C sort -u | awk '{ printf "%sk8s.io/kubernetes/%s", separator, $0; separator = "," }')
  go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  "$work/openapi-gen" --logtostderr -i "$found" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations"
}

compile() {
  local flags="-s -w" package set
  for package in component-base/version client-go/pkg/version; do
    for set in gitVersion=v1.20.2 gitMajor=1 gitMinor=20; do
      flags+=" -X k8s.io/kubernetes/vendor/k8s.io/$package.$set"
    done
  done
  go build -tags providerless -ldflags "$flags" -o "$work/out/" ./cmd/kube-apiserver ./cmd/kube-controller-manager
}

build() (
  set -euo pipefail
  export GOROOT=$work/root/usr/lib/go-1.19 GOPATH=$work/go GO111MODULE=off GOFLAGS= CGO_ENABLED=0
  export GOCACHE=$work/gocache GOTMPDIR=$work/tmp HOME=$work/tmp PATH=$work/root/usr/lib/go-1.19/bin:$PATH
  cd "$tree"
  prepare_sources
  generate_openapi
  compile
  install "$work/root/usr/bin/etcd" "$work/root/usr/bin/kubectl" "$work/out/"
  cd "$work/out"
  for program in "${programs[@]}"; do
    "./$program" version --client >/dev/null 2>&1 || "./$program" --version >/dev/null
  done
  sha256sum "${programs[@]}" >SHA256SUMS
)
# Not in an "if": the shell would ignore errors inside.
set +e
build >>"$cache/build.log" 2>&1
status=$?
set -e
if [[ $status -ne 0 ]]; then
  tail -n 20 "$cache/build.log"
  echo "Kubernetes could not be built; the whole log: $cache/build.log" >&2
  exit 1
fi
rm -rf "$bin"
mv "$work/out" "$bin"
echo "Kubernetes is built: $bin ($SECONDS s)"
