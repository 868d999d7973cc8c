#!/bin/sh
# A certificate authority for one site, and the certificates it signs. Needs openssl 1.1.1 or later.
#
#   make-certificates.sh server NAME...   the broker's certificate for these host names and addresses
#   make-certificates.sh client ID...     one certificate for each device id (or _orchestrator)
#   make-certificates.sh revoke ID...     withdraw certificates: ca.crl lists them, the broker refuses them
#
# Files are written to $CERTIFICATES, by default the folder "certificates" beside this script; the
# authority is made on first use. Keep ca.key off the broker: whoever has it can become any device.
# Certificates hold from 1970 on: a device whose clock lost its battery must still reach the broker.
set -eu

folder=${CERTIFICATES:-$(dirname "$0")/certificates}
days_until=$((20 * 365)) # the authority; what it signs holds for $SIGNED_DAYS
signed_days=${SIGNED_DAYS:-825}
umask 077

fail() {
  echo "make-certificates.sh: $*" >&2
  exit 1
}

end_date() { # $1 days from now, in the form that openssl ca takes
  date -u -d "+$1 days" +%Y%m%d%H%M%SZ 2>/dev/null ||    # GNU
    date -u -v "+$1d" +%Y%m%d%H%M%SZ 2>/dev/null ||      # BSD
    date -u -d "@$(($(date +%s) + $1 * 86400))" +%Y%m%d%H%M%SZ # busybox
}

new_key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null
}

write_configuration() {
  cat >"$folder/ca/openssl.cnf" <<CONFIGURATION
[ca]
default_ca = site
[site]
database = $folder/ca/index.txt
serial = $folder/ca/serial
crlnumber = $folder/ca/crlnumber
new_certs_dir = $folder/ca/issued
certificate = $folder/ca.crt
private_key = $folder/ca.key
default_md = sha256
policy = any_name
unique_subject = no
[any_name]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signed]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
extendedKeyUsage = \$ENV::FLEETBUS_USAGE
subjectAltName = \$ENV::FLEETBUS_NAMES
CONFIGURATION
}

sign() { # $1 request, $2 certificate, $3 extensions, $4 days, further arguments for openssl ca
  request=$1 certificate=$2 extensions=$3 days=$4
  shift 4
  openssl ca -batch -notext -config "$folder/ca/openssl.cnf" -extensions "$extensions" \
    -startdate 19700101000000Z -enddate "$(end_date "$days")" -in "$request" -out "$certificate" "$@" \
    2>"$folder/ca/last.log" || fail "openssl could not sign $certificate: $(cat "$folder/ca/last.log")"
  chmod 644 "$certificate"
}

new_list_of_revoked() {
  openssl ca -gencrl -config "$folder/ca/openssl.cnf" -crldays "$days_until" -out "$folder/ca.crl" \
    2>"$folder/ca/last.log" || fail "openssl could not write ca.crl: $(cat "$folder/ca/last.log")"
  chmod 644 "$folder/ca.crl"
}

need_authority() {
  mkdir -p "$folder/ca/issued"
  folder=$(cd "$folder" && pwd)
  export FLEETBUS_USAGE=clientAuth FLEETBUS_NAMES=DNS:unused # openssl reads every section
  write_configuration
  [ -f "$folder/ca.crt" ] && return
  : >"$folder/ca/index.txt"
  echo 01 >"$folder/ca/crlnumber"
  openssl rand -hex 16 >"$folder/ca/serial"
  new_key "$folder/ca.key"
  openssl req -new -config "$folder/ca/openssl.cnf" -key "$folder/ca.key" -subj "/CN=Fleetbus site authority" \
    -out "$folder/ca/ca.csr"
  sign "$folder/ca/ca.csr" "$folder/ca.crt" authority "$days_until" -selfsign
  new_list_of_revoked
  echo "$folder/ca.crt (new authority; keep ca.key safe)"
}

issue() { # $1 file name without its ending, $2 common name, $3 extended key usage, $4 alternative names
  new_key "$folder/$1.key"
  openssl req -new -config "$folder/ca/openssl.cnf" -key "$folder/$1.key" -subj "/CN=$2" -out "$folder/ca/$1.csr"
  FLEETBUS_USAGE=$3 FLEETBUS_NAMES=$4 sign "$folder/ca/$1.csr" "$folder/$1.crt" signed "$signed_days"
  echo "$folder/$1.crt"
}

check_id() { # a device id, or the user name of another role: see topics/identifiers.py and topics/acl.py
  printf '%s' "$1" | grep -Eq '^_?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$' ||
    fail "'$1' is neither a device id nor the user of a role (1 to 63 of A-Z a-z 0-9 . _ -)"
  case $1 in server | ca) fail "'$1' would overwrite the certificate of that name: choose another id" ;; esac
}

[ $# -ge 2 ] || fail "usage: make-certificates.sh server NAME... | client ID... | revoke ID..."
verb=$1
shift
case $verb in
server)
  names=
  for name in "$@"; do
    case $name in
    *:*) kind=IP ;;
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
    esac
    names=${names:+$names,}$kind:$name
  done
  need_authority
  issue server "$1" serverAuth "$names"
  ;;
client)
  for id in "$@"; do check_id "$id"; done
  need_authority
  for id in "$@"; do
    [ -f "$folder/$id.crt" ] && fail "$folder/$id.crt is there: revoke $id first"
    issue "$id" "$id" clientAuth "DNS:$id"
  done
  ;;
revoke)
  for id in "$@"; do check_id "$id"; done
  need_authority
  for id in "$@"; do
    [ -f "$folder/$id.crt" ] || fail "no certificate $folder/$id.crt"
    openssl ca -config "$folder/ca/openssl.cnf" -revoke "$folder/$id.crt" 2>"$folder/ca/last.log" ||
      fail "openssl could not revoke $id: $(cat "$folder/ca/last.log")"
    rm -f "$folder/$id.crt" "$folder/$id.key"
    echo "$id revoked"
  done
  new_list_of_revoked
  ;;
*) fail "unknown command '$verb': server, client or revoke" ;;
esac
