#!/bin/sh
# The Debian packages that the tests use, as root on Debian or a derivative; only what is missing is
# installed. Elsewhere it changes nothing and says which tests will be skipped.
set -eu

# command, its package, and what is skipped without it
needed='
mosquitto mosquitto everything on Mosquitto
mosquitto_passwd mosquitto access rules and TLS on Mosquitto
mosquitto_pub mosquitto-clients deployment with the Mosquitto clients
openssl openssl TLS
docker-registry docker-registry charts from an OCI registry
ss iproute2 checks of listening ports
'

missing=
while read -r command package consequence; do
  [ -n "$command" ] || continue
  # Debian keeps servers out of an ordinary user's path
  PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null 2>&1 && continue
  echo "missing: $command (package $package); without it these tests are skipped: $consequence"
  case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
done <<NEEDED
$needed
NEEDED

if [ -z "$missing" ]; then
  echo "all packages for the tests are installed"
elif [ "$(id -u)" -ne 0 ]; then
  echo "not root: nothing installed; as root: apt-get install --no-install-recommends$missing"
elif ! command -v apt-get >/dev/null 2>&1; then
  echo "no apt-get: nothing installed"
else
  # Installed for its programs only: a broker started as a service would take the tests' usual ports.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  # shellcheck disable=SC2086 # a list of package names
  apt-get -qq install -y --no-install-recommends $missing >/dev/null
  echo "installed:$missing"
fi
