#!/usr/bin/env bash
# CPU per request of Portcullis beside nginx doing the same job, in one run: the cases alternate,
# round after round, so that a machine's moods hit them alike. Then the cost of one policy call.
#
#   ROUNDS=5 SECONDS_EACH=3 CONNECTIONS=64 scripts/bench.sh
#
# CPU is what the kernel has charged to the process' threads (/proc/PID/task/*/schedstat).
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-3} connections=${CONNECTIONS:-64}
nginx_port=${NGINX_PORT:-18080} upstream_port=${UPSTREAM_PORT:-18081} gateway_port=${GATEWAY_PORT:-18082}
PATH=$PATH:/usr/sbin

work=$(mktemp -d)
children=()
cleanup() {
  [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

body=$(head -c 1024 /dev/zero | tr '\0' x)
nginx_config() { # nginx_config NAME CONTENT
  mkdir -p "$work/$1"
  cat >"$work/$1/nginx.conf" <<CONF
daemon off; pid $work/$1/pid; error_log $work/$1/error.log; worker_processes 1;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path $work/$1; proxy_temp_path $work/$1; fastcgi_temp_path $work/$1; uwsgi_temp_path $work/$1; scgi_temp_path $work/$1;
  $2 }
CONF
  nginx -e "$work/$1/error.log" -c "$work/$1/nginx.conf" & children+=($!)
}
nginx_config upstream "server { listen 127.0.0.1:$upstream_port reuseport; location / { return 200 \"$body\"; } }"
nginx_config proxy "upstream u { server 127.0.0.1:$upstream_port; keepalive 128; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:$nginx_port; location / {
    proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host \$host;
    proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto \$scheme;
    proxy_set_header X-Request-Id \$request_id; } }"
nginx_pid=${children[1]}

use() { printf '      - { use: %s, on_failure: closed, config: { header: x-api-key } }\n' "$1"; }
{
  cat <<CONF
listeners: [{ name: http, address: "127.0.0.1:$gateway_port" }]
workers: 1
upstreams: { nginx: { endpoints: ["http://127.0.0.1:$upstream_port"], max_idle_connections: 256 } }
policies:
  fresh: { component: "file:$PWD/target/policies/fixtures/noop.wasm", isolation: per-request }
  pooled: { component: "file:$PWD/target/policies/fixtures/noop.wasm", isolation: pooled }
  limit-fresh: { component: "builtin:rate-limit", isolation: per-request, grants: { kv: {}, metrics: {} } }
  limit-pooled: { component: "builtin:rate-limit", isolation: pooled, grants: { kv: {}, metrics: {} } }
routes:
  - { name: plain, match: { path_prefix: /plain }, upstream: nginx }
CONF
  for kind in fresh pooled; do for n in 1 4; do
    printf '  - name: %s%s\n    match: { path_prefix: /%s%s }\n    upstream: nginx\n    policies:\n' $kind $n $kind $n
    for _ in $(seq $n); do use $kind; done
  done; done
  for kind in fresh pooled; do
    printf '  - name: limit-%s\n    match: { path_prefix: /limit-%s }\n    upstream: nginx\n    policies:\n' $kind $kind
    printf '      - { use: limit-%s, on_failure: closed, config: { limits: [{ name: n, key: { header: x-api-key, or: client_address }, rate: 100000, per: 1s, burst: 100000 }] } }\n' $kind
  done
} >"$work/gateway.yaml"
target/release/portcullis run --config "$work/gateway.yaml" 2>"$work/gateway.log" & children+=($!)
gateway_pid=$!
for port in $upstream_port $nginx_port $gateway_port; do
  for _ in $(seq 400); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.05; done
done
for child in "${children[@]}"; do kill -0 "$child" || { cat "$work"/gateway.log "$work"/*/error.log >&2; exit 1; }; done

cpu_ns() { # of a process and its children
  local pid total=0 ns
  for pid in "$1" $(cat "/proc/$1/task/$1/children"); do
    for task in /proc/"$pid"/task/*/schedstat; do read -r ns _ <"$task"; total=$((total + ns)); done
  done
  echo "$total"
}
measure() { # measure CASE PID URL: appends "CASE cpu_us rps"
  local before after
  before=$(cpu_ns "$2")
  wrk -t1 -c"$connections" -d"${seconds}s" \
    -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' -H 'accept: text/html,application/xhtml+xml,*/*;q=0.8' \
    -H 'accept-language: en-US,en;q=0.5' -H 'accept-encoding: gzip, deflate, br' -H 'x-api-key: alice' -H 'cookie: session=0123456789abcdef' \
    -H 'referer: http://example.com/' -H 'cache-control: no-cache' "$3" >"$work/wrk"
  after=$(cpu_ns "$2")
  grep -q 'Non-2xx' "$work/wrk" && { echo "bench: $1 answered errors" >&2; cat "$work/wrk" >&2; exit 1; }
  awk -v case="$1" -v ns=$((after - before)) '/requests in/ { n = $1 } /Requests\/sec/ { rps = $2 }
    END { printf "%s %.3f %.0f\n", case, ns / 1000 / n, rps }' "$work/wrk" >>"$work/results"
}

cases="plain fresh1 pooled1 fresh4 pooled4 limit-fresh limit-pooled"
for case in $cases; do wrk -t1 -c"$connections" -d1s "http://127.0.0.1:$gateway_port/$case" >/dev/null; done
wrk -t1 -c"$connections" -d1s "http://127.0.0.1:$nginx_port/" >/dev/null
for _ in $(seq "$rounds"); do
  measure nginx "$nginx_pid" "http://127.0.0.1:$nginx_port/"
  for case in $cases; do measure "$case" "$gateway_pid" "http://127.0.0.1:$gateway_port/$case"; done
done

echo "CPU per request, medians of $rounds rounds of ${seconds}s, $connections connections, 1 KiB answers, 1 worker each"
echo "$(nginx -v 2>&1 | sed 's/.*: //'), $(target/release/portcullis --version), $(nproc) cores, $(uname -sr)"
awk '
  function median(list, n,   i, j, t) { for (i = 2; i <= n; i++) { t = list[i]; for (j = i - 1; j > 0 && list[j] > t; j--) list[j + 1] = list[j]; list[j + 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2 }
  { n[$1]++; cpu[$1, n[$1]] = $2; rps[$1, n[$1]] = $3; if (n[$1] == 1) order[++cases] = $1 }
  END { printf "%-14s %10s %10s %12s %12s\n", "case", "CPU µs", "req/s", "× nginx", "plain + µs"
    for (c = 1; c <= cases; c++) { name = order[c]
      for (i = 1; i <= n[name]; i++) { a[i] = cpu[name, i]; b[i] = rps[name, i]; q[i] = cpu[name, i] / cpu["nginx", i]; d[i] = cpu[name, i] - cpu["plain", i] }
      printf "%-14s %10.1f %10.0f %12.2f %12s\n", name, median(a, n[name]), median(b, n[name]), median(q, n[name]), (name == "nginx" || name == "plain") ? "" : sprintf("%+.1f", median(d, n[name])) } }
' "$work/results"
echo
# The build first, apart from what is measured.
binary=$(cargo bench --package portcullis --bench policy_call --no-run 2>&1 | grep -o 'target/release/deps/policy_call-[0-9a-f]*')
"$binary"
strace -f -c -o "$work/strace" "$binary" fresh >"$work/fresh"
awk -v calls="$(sed -n 's/^calls //p' "$work/fresh")" '$NF == "ioctl" { printf "a fresh instance makes %.2f system calls (ioctl PAGEMAP_SCAN; %d in %d calls)\n", $4 / calls, $4, calls }' "$work/strace"
