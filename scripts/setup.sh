#!/usr/bin/env bash
# Installs what this machine lacks for the named kinds of work: build, stack, test, lint, bench, fuzz.
# As root on Debian by apt-get; otherwise it says what to install and stops.
set -euo pipefail
cd "$(dirname "$0")/.."

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

packages=() peers='' fuzzer=''
want() { # want COMMAND PACKAGE
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || packages+=("$2")
}

for kind in "$@"; do
  case $kind in
    build) need_rust; want cc gcc; [ -e /usr/include/stdio.h ] || packages+=(libc6-dev) ;;
    # The servers and clients that nobody here wrote, which the tests let the gateway meet.
    test)
      want redis-server redis-server
      want curl curl
      want h2load nghttp2-client
      want nginx nginx-light
      want haproxy haproxy
      want faketime faketime
      want promtool prometheus
      want systemd-analyze systemd
      python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
      peers=yes
      ;;
    stack) want redis-server redis-server; want prometheus prometheus ;;
    lint) want shellcheck shellcheck ;;
    bench) want nginx nginx-light; want redis-server redis-server; want wrk wrk; want h2load nghttp2-client; want openssl openssl; want strace strace ;;
    fuzz) need_rust; want c++ g++; fuzzer=yes ;;
    *) die "unknown kind of work: $kind" ;;
  esac
done

install_packages() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "these programs are missing; on Debian: sudo apt-get install --no-install-recommends ${packages[*]}"
  fi
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
}

# Python's clients and servers, in an environment of their own; made anew when the list changes.
install_peers() {
  local list=host/tests/peers/requirements.txt made=target/peers
  cmp -s $list $made/requirements.txt && return
  say "installing the packages of $list into $made"
  rm -rf $made
  python3 -m venv $made
  $made/bin/pip install --quiet --disable-pip-version-check -r $list >&2
  cp $list $made/requirements.txt
}

# libFuzzer's instrumentation is nightly's alone.
install_fuzzer() {
  rustup toolchain list | grep -q ^nightly || rustup toolchain install nightly --profile minimal >&2
  command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked >&2
}

[ ${#packages[@]} = 0 ] || install_packages
[ -z "$peers" ] || install_peers
[ -z "$fuzzer" ] || install_fuzzer
