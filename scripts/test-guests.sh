#!/usr/bin/env bash
# Runs the native tests of the guests' workspace: the pure parts of the policies, and the SDK.
set -euo pipefail
cd "$(dirname "$0")/../guest-policies"
exec cargo test --workspace --no-fail-fast
