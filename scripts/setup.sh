#!/usr/bin/env bash
# Installs what this machine lacks for the named kinds of work: build, test, lint, bench.
# As root on Debian by apt-get; otherwise it says what to install and stops.
set -euo pipefail

rust_minimum=1.95

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

need_rust() {
  if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    die "cargo is missing: install Rust $rust_minimum or later from https://rustup.rs"
  fi
  local version
  version=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$rust_minimum" "$version" | sort -V | head -n 1)" = "$rust_minimum" ] ||
    die "rustc $version is too old, $rust_minimum or later is needed: rustup update stable"
}

packages=()
want() { # want COMMAND PACKAGE
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || packages+=("$2")
}

for kind in "$@"; do
  case $kind in
    build) need_rust; want cc gcc; [ -e /usr/include/stdio.h ] || packages+=(libc6-dev) ;;
    test) want redis-server redis-server ;;
    lint) want shellcheck shellcheck ;;
    bench) want nginx nginx-light; want wrk wrk; want strace strace ;;
    *) die "unknown kind of work: $kind" ;;
  esac
done

[ ${#packages[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing ${packages[*]}"
  apt-get update -q >&2
  # The servers are started by our own scripts, on ports of their choice; not by the system.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}" >&2
else
  die "these programs are missing; on Debian: sudo apt-get install --no-install-recommends ${packages[*]}"
fi
