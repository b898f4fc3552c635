#!/usr/bin/env bash
# Builds the policies again from a copy of the checkout at another path, with another target
# directory, and compares the bytes.
#
#   scripts/check-reproducible.sh [--cold]
#
# The standard library and the crates of the registry are taken over as they were built here, so it
# takes seconds; the workspace's own crates are built anew. --cold builds all of it anew, with
# another CARGO_HOME too: minutes.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=wasm32-unknown-unknown
cold=
case ${1:-} in
  --cold) cold=1 ;;
  '') ;;
  *) echo "usage: $0 [--cold]" >&2 && exit 2 ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
copy=$scratch/another/checkout

# Takes the workspace's own crates out of a target directory, so that they are built anew.
forget_own_crates() {
  local name
  while read -r name; do
    rm -rf "$1/$TARGET/release/.fingerprint/$name"-*
    rm -f "$1/$TARGET/release/deps/"{,lib}"${name//-/_}"{-*,.*} "$1/$TARGET/release/${name//-/_}.wasm"
  done < <(sed -n 's/^name *= *"\(.*\)"/\1/p' "$copy"/guest-policies/*/Cargo.toml "$copy"/guest-policies/*/*/Cargo.toml)
}

another_cargo_home() {
  local entry home=${CARGO_HOME:-$HOME/.cargo}
  mkdir -p "$scratch/cargo-home"
  # The downloads and the settings stay the same; only the path to them is another.
  for entry in registry config.toml config; do
    [ -e "$home/$entry" ] && ln -s "$home/$entry" "$scratch/cargo-home/$entry"
  done
  export CARGO_HOME=$scratch/cargo-home
}

# build CHECKOUT OUT [ARGUMENTS]: says something only when it fails.
build() {
  local log=$scratch/log
  "$1/scripts/build-guests.sh" -o "$scratch/$2" "${@:3}" 2>"$log" || { cat "$log" >&2 && exit 1; }
}

build "$ROOT" here

mkdir -p "$copy"
tar -C "$ROOT" --exclude=guest-policies/target -cf - wit scripts guest-policies | tar -C "$copy" -xf -
if [ -n "$cold" ]; then
  another_cargo_home
else
  cp -a --reflink=auto "$ROOT/guest-policies/target" "$scratch/another-target"
  forget_own_crates "$scratch/another-target"
fi
build "$copy" there -T "$scratch/another-target"

sums() { (cd "$1" && find . -name '*.wasm' -exec sha256sum {} + | sort -k 2); }
sums "$scratch/here" >"$scratch/here.sums"
sums "$scratch/there" >"$scratch/there.sums"
[ -s "$scratch/here.sums" ] || { echo "check-reproducible: nothing was built" >&2 && exit 1; }
if ! diff -u --label here --label "another checkout" "$scratch/here.sums" "$scratch/there.sums" >&2; then
  echo "check-reproducible: the bytes differ: does a path of this machine get into them? (strings FILE | grep /)" >&2
  exit 1
fi
echo "check-reproducible: $(wc -l <"$scratch/here.sums") components have the same bytes from another checkout"
