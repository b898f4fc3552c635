#!/usr/bin/env bash
# What a reviewer should not have to say: format, lints, docs, sizes, shell.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
(cd guest-policies && cargo fmt --all --check)
(cd fuzz && cargo fmt --all --check)
cargo clippy --workspace --all-targets -- -D warnings
(cd guest-policies && cargo clippy --workspace --all-targets -- -D warnings)
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

# A file holds one concept: 400 lines without its tests is the most.
long=$(git ls-files '*.rs' | grep -vE '(^|/)(tests|benches)/' | while read -r file; do
  [ -e "$file" ] || continue
  lines=$(sed '/^ *#\[cfg(test)\]/,$d' "$file" | wc -l)
  [ "$lines" -le 400 ] || echo "$lines $file"
done)
[ -z "$long" ] || { printf 'longer than 400 lines without tests:\n%s\n' "$long" >&2; exit 1; }

shellcheck scripts/*.sh .ci/run
# Licences, banned crates and sources; advisories need a database from the network.
if command -v cargo-deny >/dev/null; then
  cargo deny check bans licenses sources
else
  echo "lint: cargo-deny is not installed (cargo install cargo-deny); licences and sources were not checked" >&2
fi
echo "lint: ok"
