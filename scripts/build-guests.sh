#!/usr/bin/env bash
# Builds the policies of guest-policies/ as WebAssembly components.
#
#   scripts/build-guests.sh [-C WORKSPACE] [-o OUT] [-T TARGET_DIR] [-- CARGO ARGS]
#
# The target is wasm32-unknown-unknown without WASI, linked by wasm-component-ld, which
# rustup ships with every toolchain: cargo itself writes a component.
#
# OUT (target/policies) gets the policies and the examples, OUT/fixtures the fixtures.
# A file is written only when its bytes change, so whoever embeds it is not rebuilt in vain.
#
# env  GUEST_MODE     auto (default), target or build-std
#      GUEST_INSTALL  1 (default): may install what is missing, by apt or rustup; 0: only says so
#      JOBS           for cargo -j (default: one for each core)
set -euo pipefail

TARGET=wasm32-unknown-unknown
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
WS=$ROOT/guest-policies OUT=$ROOT/target/policies TD=
DEBIAN_RUSTC=/usr/bin/rustc
DEBIAN_PACKAGES=(rustc-web rust-web-src)

say() { printf 'build-guests: %s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

while getopts C:o:T: option; do
  case $option in
    C) WS=$OPTARG ;;
    o) OUT=$OPTARG ;;
    T) TD=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
WS=$(cd "$WS" && pwd)
TD=${TD:-$WS/target}
cd "$WS"

# Settings of an outer build (a build script, a CI job) are for another target.
unset CARGO_ENCODED_RUSTFLAGS RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR
unset RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
TOOLCHAIN_RUSTC=${RUSTC:-rustc}

sysroot() { "$1" --print sysroot; }
library() { printf '%s/lib/rustlib/src/rust' "$(sysroot "$1")"; }
has_target() { compgen -G "$("$1" --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null; }

# Debian packages the library's source apart from the compiler: a mixed pair does not build. Nor does
# one that is older than the policies want.
has_source() {
  local source version minimum
  [ -x "$(command -v "$1")" ] && [ -f "$(library "$1")/library/Cargo.lock" ] || return 1
  source=$(readlink -f "$(library "$1")")
  version=$("$1" -V | cut -d' ' -f2)
  minimum=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$WS/Cargo.toml")
  [ "$(printf '%s\n%s\n' "$minimum" "$version" | sort -V | head -n 1)" = "$minimum" ] || return 1
  case $source in
    */rustc-*) [ "${source##*/rustc-}" = "${version%%-*}" ] ;;
  esac
}

may_install() { [ "${GUEST_INSTALL:-1}" = 1 ]; }

install_by_apt() {
  may_install && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  # Always: an old list names an old compiler.
  apt-get update -qq >&2 || return 1
  say "installing ${DEBIAN_PACKAGES[*]} (760 MB on disk)"
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    "${DEBIAN_PACKAGES[@]}" >/dev/null || return 1
  has_source $DEBIAN_RUSTC
}

install_by_rustup() {
  may_install && command -v rustup >/dev/null || return 1
  say "rustup target add $TARGET"
  timeout 300 rustup target add $TARGET >&2 && has_target "$TOOLCHAIN_RUSTC"
}

# Sets `mode` and, for build-std, `std_rustc`. What is here comes before what must be fetched.
choose_std() {
  mode=${GUEST_MODE:-auto} std_rustc=
  if [ "$mode" != build-std ] && has_target "$TOOLCHAIN_RUSTC"; then
    mode=target
  elif [ "$mode" != target ] && has_source $DEBIAN_RUSTC; then
    mode=build-std std_rustc=$DEBIAN_RUSTC
  elif [ "$mode" != target ] && has_source "$TOOLCHAIN_RUSTC"; then
    mode=build-std std_rustc=$TOOLCHAIN_RUSTC
  elif [ "$mode" != target ] && install_by_apt; then
    mode=build-std std_rustc=$DEBIAN_RUSTC
  elif [ "$mode" != build-std ] && install_by_rustup; then
    mode=target
  else
    die "no standard library for $TARGET here. Do one of:
  apt-get install --no-install-recommends ${DEBIAN_PACKAGES[*]}   (Debian)
  rustup component add rust-src
  rustup target add $TARGET"
  fi
}

# rustc looks for its linker in its own sysroot and then in PATH; the linker looks for
# rust-lld in PATH. Debian's rustc has neither, rustup's toolchain has both.
find_linker() {
  local bin root
  for root in "$(sysroot "$TOOLCHAIN_RUSTC")" "$(env -u RUSTC rustc --print sysroot 2>/dev/null || true)"; do
    for bin in "$root"/lib/rustlib/*/bin; do
      [ -x "$bin/wasm-component-ld" ] && export PATH="$bin:$PATH" && return
    done
  done
  command -v wasm-component-ld >/dev/null ||
    die "no wasm-component-ld: rustup's toolchains carry it (else: cargo install wasm-component-ld, and a package with lld)"
}

# Paths of this machine would be in the panic messages. The workspace's own are relative already,
# and naming it here would rebuild the standard library for each checkout.
set_flags() {
  local flags='' registry cargo_home=${CARGO_HOME:-$HOME/.cargo}
  # A registry's folder is named after its host: a mirror must not change the bytes either.
  compgen -G "$cargo_home/registry/src/*/" >/dev/null || cargo fetch --quiet
  for registry in "$cargo_home"/registry/src/*/; do
    flags+="--remap-path-prefix=${registry%/}=/cargo "
  done
  if [ "$mode" = build-std ]; then
    flags+="--remap-path-prefix=$(library "$std_rustc")=/rust "
    flags+="--remap-path-prefix=$(readlink -f "$(library "$std_rustc")")=/rust "
  fi
  # rustc's default stack is 1 MiB: all of it would count against a policy's memory limit.
  flags+="-Clink-arg=-zstack-size=262144"
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=$flags
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld
}

build() {
  local arguments=(--release --target "$TARGET" --target-dir "$TD")
  [ -n "${CI:-}" ] && arguments+=(--locked)
  [ -n "${JOBS:-}" ] && arguments+=(-j "$JOBS")
  [ -d "$TD/$TARGET/release/deps" ] || say "first build ($mode): takes minutes when it has to build std"
  if [ "$mode" = build-std ]; then
    export RUSTC=$std_rustc RUSTC_BOOTSTRAP=1
    # No backtraces in a policy: a shorter build.
    arguments+=(-Z "build-std=std,panic_abort" -Z build-std-features=)
  fi
  cargo build --quiet "${arguments[@]}" "$@"
}

# Crates whose dependencies want more of what the others use as well (jsonschema turns serde_json's
# std on): in one build with them, each other component would carry that.
APART=(json-validate)

build_all() {
  local crate others=(--workspace)
  for crate in "${APART[@]}"; do
    [ -d "$WS/$crate" ] && others+=(--exclude "$crate") && build -p "$crate"
  done
  build "${others[@]}"
}

# The cdylib crates under the given folders, one name a line.
crates() {
  local manifest
  for manifest in "$@"; do
    grep -qs '"cdylib"' "$manifest" && sed -n 's/^name *= *"\(.*\)"/\1/p' "$manifest" | head -n 1
  done
  return 0
}

# collect FOLDER NAME...: puts the named components there and takes away all others.
collect() {
  local folder=$1 name file built
  shift
  mkdir -p "$folder"
  for file in "$folder"/*.wasm; do
    name=${file##*/}
    [ -e "$file" ] || continue
    case " $* " in *" ${name%.wasm} "*) ;; *) rm "$file" && say "removed $name: its crate is gone" ;; esac
  done
  for name in "$@"; do
    built=$TD/$TARGET/release/${name//-/_}.wasm file=$folder/$name.wasm
    [ -e "$built" ] || { say "$name: not built" && continue; }
    # Layer 1, version 0d: a component. A core module starts with 01000000.
    [ "$(od -An -tx1 -N8 "$built" | tr -d ' \n')" = 0061736d0d000100 ] || die "$built is no component"
    cmp -s "$built" "$file" && continue
    # In one step: a gateway that watches the folder never sees half a file.
    cp "$built" "$file.$$" && mv "$file.$$" "$file"
    say "$name: $(stat -c %s "$file") bytes"
  done
}

choose_std
find_linker
set_flags
if [ $# = 0 ]; then build_all; else build "$@"; fi
mapfile -t policies < <(crates "$WS"/*/Cargo.toml "$WS"/examples/*/Cargo.toml)
mapfile -t fixtures < <(crates "$WS"/fixtures/*/Cargo.toml)
collect "$OUT" "${policies[@]}"
collect "$OUT/fixtures" "${fixtures[@]}"
