#!/bin/sh
# Users with passwords for the broker. Needs mosquitto_passwd.
#
#   make-users.sh USER...    device ids, or _orchestrator, _operator, _publisher, _dashboard
#
# Each user that has no password gets a random one: in $SECRETS/USER/password for the program that
# uses it (FLEETBUS_PASSWORD_FILE), and hashed in $USERS/passwords for the broker. Existing ones stay.
# As root, the files are given to OWNER (the broker's) and CLIENT_OWNER (the programs'), as uid:gid.
set -eu

here=$(dirname "$0")
users=${USERS:-$here/users}
secrets=${SECRETS:-$here/secrets}
umask 077

[ $# -ge 1 ] || { echo "usage: make-users.sh USER..." >&2; exit 1; }
for user in "$@"; do
  printf '%s' "$user" | grep -Eq '^_?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$' ||
    { echo "make-users.sh: '$user' is neither a device id nor the user of a role" >&2; exit 1; }
done

mkdir -p "$users"
[ -f "$users/passwords" ] || : >"$users/passwords"
for user in "$@"; do
  secret=$secrets/$user/password
  if [ ! -s "$secret" ]; then
    mkdir -p "$secrets/$user"
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$secret"
  fi
  # A line that begins with the name is this user's; names hold no character that grep -F would miss.
  if ! cut -d: -f1 "$users/passwords" | grep -Fqx -e "$user"; then
    mosquitto_passwd -b "$users/passwords" "$user" "$(cat "$secret")" >/dev/null
    echo "$user: password in $secret"
  fi
  if [ -n "${CLIENT_OWNER:-}" ]; then chown -R "$CLIENT_OWNER" "$secrets/$user"; fi
done
if [ -n "${OWNER:-}" ]; then chown -R "$OWNER" "$users"; fi
