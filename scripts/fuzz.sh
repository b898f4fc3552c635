#!/usr/bin/env bash
# Fuzzes each target for FUZZ_SECONDS (default 600); TARGETS names some of them. What breaks a property is
# left in fuzz/artifacts/TARGET; a minimised copy in fuzz/corpus/TARGET is replayed by every test run.
set -euo pipefail
cd "$(dirname "$0")/.."

read -ra targets <<<"${TARGETS:-path fields config route}"
found=
for target in "${targets[@]}"; do
  echo "fuzz: $target for ${FUZZ_SECONDS:-600} s"
  # New inputs go to a directory of their own; the committed corpus is small on purpose.
  mkdir -p "fuzz/target/corpus/$target"
  nice cargo +nightly fuzz run "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
    -max_total_time="${FUZZ_SECONDS:-600}" -max_len=4096 -timeout=10 -print_final_stats=1 || found+=" $target"
done
[ -z "$found" ] || { echo "fuzz: a property does not hold:$found; see fuzz/artifacts" >&2; exit 1; }
echo "fuzz: ok"
