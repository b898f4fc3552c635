#!/usr/bin/env bash
# Starts mock-service and the gateway with the sample config, says what to try, and stops both on
# Ctrl-C or when one of them ends.
set -euo pipefail
cd "$(dirname "$0")/.."

config=host/gateway.yaml
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for port in 8001 8080; do
  if listens $port; then
    echo "run: something already listens on port $port (ss -ltnp names it): stop that first" >&2
    exit 1
  fi
done

children=()
stop() {
  trap - INT TERM EXIT
  [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
  wait || true
}
trap stop EXIT
trap 'exit 0' INT TERM

# Everything that can be wrong is said before anything is started.
target/release/portcullis check --config "$config"

target/release/mock-service --listen 127.0.0.1:8001 &
children+=($!)
target/release/portcullis run --config "$config" &
children+=($!)

for _ in $(seq 100); do
  if listens 8080; then
    cat <<'TEXT'

The gateway is up. Try, in another terminal:

  curl localhost:8080/api/service1/hello                      # through two policies to the mock service
  for i in $(seq 25); do curl -s -o /dev/null -w '%{http_code} ' \
      -H 'x-api-key: alice' localhost:8080/api/service1/hello; done      # 20 at once, then 429
  curl -i -H 'x-api-key: bob' localhost:8080/api/service1/hello          # another key is unharmed
  curl localhost:8080/api/service1/flaky                      # fails twice, the retry policy asks again
  curl localhost:8001/_mock/attempts?path=/flaky              # the three attempts, spaced by backoff
  curl -s localhost:9464/metrics | grep -E '^(portcullis|policy|http)'   # what the gateway counted

Ctrl-C stops both.

TEXT
    break
  fi
  kill -0 "${children[@]}" 2>/dev/null || break
  sleep 0.05
done

# Whichever ends first ends the other.
wait -n
