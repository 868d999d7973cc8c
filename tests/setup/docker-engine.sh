#!/usr/bin/env bash
# A Docker engine, Compose v2 and a base image for the tests that need containers, on Debian as root. It
# uses Debian's packages only, so it also works where no container registry can be reached. What is there
# already stays as it is. Elsewhere it changes nothing and says what will be skipped.
#
# The engine it starts goes on running. The base image (python3, venv, mosquitto, certificates) is
# kept as an archive in the user's cache folder, so only the first run has to build it.
set -euo pipefail

image=local/debian-python:bookworm
release=bookworm
compose_release=trixie # Debian 12 has no Compose v2; this one's binary runs there
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fleetbus
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
plugins=/usr/local/lib/docker/cli-plugins

have_engine() { docker info >/dev/null 2>&1; }
have_compose() { docker compose version >/dev/null 2>&1; }
have_image() { docker image inspect "$image" >/dev/null 2>&1; }

if have_engine && have_compose && have_image; then
  echo "Docker engine, Compose and $image are there"
  exit 0
fi
if [[ $(id -u) -ne 0 || ! -e /etc/debian_version ]]; then
  echo "no Docker engine with Compose and $image, and not root on Debian: container tests are skipped"
  exit 0
fi

mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DEBIAN_FRONTEND=noninteractive

# the mirror this host takes Debian itself from
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' "Codename: $release" \
  'Created-By: Packages' | head -1)}

install_packages() {
  local wanted=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || wanted+=("$package")
  done
  [[ ${#wanted[@]} -eq 0 ]] && return
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends "${wanted[@]}" >/dev/null
}

start_engine() {
  command -v dockerd >/dev/null || install_packages docker.io iptables ca-certificates
  have_engine && return # the package started it
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker
  else
    setsid dockerd >"$cache/dockerd.log" 2>&1 </dev/null &
  fi
  for _ in {1..120}; do
    have_engine && return
    sleep 0.5
  done
  echo "the Docker engine does not answer after 60 s; see $cache/dockerd.log" >&2
  exit 1
}

# Compose of a newer Debian, without making that release a source of this host's packages
install_compose() {
  local apt=(
    -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/archives" -o APT::Sandbox::User=root
  )
  mkdir -p "$work/lists/partial" "$work/archives/archives/partial" "$work/compose"
  echo "deb [signed-by=$keyring] $mirror $compose_release main" >"$work/sources.list"
  apt-get -qq "${apt[@]}" update
  (cd "$work" && apt-get -qq "${apt[@]}" download docker-compose)
  dpkg -x "$work"/docker-compose_*.deb "$work/compose"
  install -D -m 755 "$(find "$work/compose" -type f -name docker-compose -size +1M | head -1)" "$plugins/docker-compose"
}

make_image() {
  local archive=$cache/debian-python-$release.tar
  if [[ ! -s $archive ]]; then
    install_packages debootstrap
    debootstrap --variant=minbase --include=python3,python3-venv,mosquitto,openssl,ca-certificates \
      "$release" "$work/root" "$mirror" >"$cache/debootstrap.log" || {
      echo "debootstrap failed; see $cache/debootstrap.log" >&2
      exit 1
    }
    rm -rf "$work/root/var/cache/apt/archives" "$work/root/var/lib/apt/lists"
    tar -C "$work/root" -cf "$archive.part" .
    mv "$archive.part" "$archive"
  fi
  docker import "$archive" "$image" >/dev/null
}

have_engine || start_engine
have_compose || install_compose
have_image || make_image
docker info --format 'Docker engine {{.ServerVersion}}'
docker compose version
echo "base image $image"
