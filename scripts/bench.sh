#!/usr/bin/env bash
# CPU per request of Portcullis beside nginx doing the same job, in one run: the cases alternate,
# round after round, so that a machine's moods hit them alike. Then the cost of policies, and of one
# policy call.
#
#   ROUNDS=5 SECONDS_EACH=3 scripts/bench.sh
#
# CPU is what the kernel has charged to the process' threads (/proc/PID/task/*/schedstat).
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-3}
base=${BASE_PORT:-18080}
upstream_port=$base nginx_port=$((base + 1)) nginx_tls=$((base + 2)) nginx_h2c=$((base + 3))
gateway_port=$((base + 4)) gateway_tls=$((base + 5)) redis_port=$((base + 6))
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
chmod a+x "$work"
mkdir "$work/www"
head -c 1048576 /dev/zero | tr '\0' x >"$work/www/1MiB"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
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
nginx_config upstream "server { listen 127.0.0.1:$upstream_port reuseport; root $work/www; location / { return 200 \"$body\"; }
  location = /1MiB { sendfile on; tcp_nopush on; } }"
# Buffers that hold an answer, so that nginx writes no temporary files.
nginx_config proxy "upstream u { server 127.0.0.1:$upstream_port; keepalive 600; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:$nginx_port; listen 127.0.0.1:$nginx_h2c http2; listen 127.0.0.1:$nginx_tls ssl http2;
    ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem; ssl_protocols TLSv1.3;
    proxy_max_temp_file_size 0; location / {
    proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host \$host;
    proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto \$scheme;
    proxy_set_header X-Request-Id \$request_id; } }"
nginx_pid=${children[1]}

redis-server --bind 127.0.0.1 --port $redis_port --save '' --appendonly no --dir "$work" >"$work/redis.log" & children+=($!)

use() { printf '      - { use: %s, on_failure: closed, config: { header: x-api-key } }\n' "$1"; }
{
  cat <<CONF
listeners:
  - { name: http, address: "127.0.0.1:$gateway_port" }
  - { name: https, address: "127.0.0.1:$gateway_tls", tls: { certificates: [{ certificate: $work/cert.pem, key: $work/key.pem }] } }
workers: 1
redis: { main: { url: "redis://127.0.0.1:$redis_port", deadline: 1s } }
upstreams: { nginx: { endpoints: ["http://127.0.0.1:$upstream_port"], max_idle_connections: 1000 } }
policies:
  fresh: { component: "file:$PWD/target/policies/fixtures/noop.wasm", isolation: per-request }
  pooled: { component: "file:$PWD/target/policies/fixtures/noop.wasm", isolation: pooled }
  limit-fresh: { component: "builtin:rate-limit", isolation: per-request, grants: { kv: {}, metrics: {} } }
  limit-pooled: { component: "builtin:rate-limit", isolation: pooled, grants: { kv: {}, metrics: {} } }
  limit-redis: { component: "builtin:rate-limit", isolation: pooled, grants: { kv: {}, metrics: {}, redis: { binding: main, prefix: "rl:", scripts: true } } }
  limit-places: { component: "builtin:concurrency-limit", isolation: pooled, grants: { kv: {}, metrics: {} } }
routes:
  - { name: plain, upstream: nginx }
CONF
  for kind in fresh pooled; do for n in 1 4; do
    printf '  - name: %s%s\n    match: { path_prefix: /%s%s }\n    upstream: nginx\n    policies:\n' $kind $n $kind $n
    for _ in $(seq $n); do use $kind; done
  done; done
  limit() { # limit NAME POLICY LIMIT
    printf '  - name: %s\n    match: { path_prefix: /%s }\n    upstream: nginx\n    policies:\n' "$1" "$1"
    printf '      - { use: %s, on_failure: closed, config: { limits: [{ name: n, key: { header: x-api-key, or: client_address }, %s }] } }\n' "$2" "$3"
  }
  for kind in fresh pooled redis; do limit limit-$kind limit-$kind 'rate: 100000, per: 1s, burst: 100000'; done
  limit limit-lease limit-redis 'rate: 100000, per: 1s, burst: 100000, lease: 1000'
  limit limit-places limit-places 'concurrency: 1000'
} >"$work/gateway.yaml"
target/release/portcullis run --config "$work/gateway.yaml" 2>"$work/gateway.log" & children+=($!)
gateway_pid=$!
for port in $upstream_port $nginx_port $redis_port $gateway_port $gateway_tls; do
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
fields=(-H 'user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' -H 'accept: text/html,application/xhtml+xml,*/*;q=0.8'
  -H 'accept-language: en-US,en;q=0.5' -H 'accept-encoding: gzip, deflate, br' -H 'x-api-key: alice' -H 'cookie: session=0123456789abcdef'
  -H 'referer: http://example.com/' -H 'cache-control: no-cache')
load() { # load HOW URL: prints requests and requests per second
  local connections=64
  case $1 in
    h1-512) connections=512 ;;
    1MiB) connections=16 ;;
  esac
  case $1 in
    h2 | tls-h2)
      # Sixteen connections with eight streams each.
      h2load -t1 -c16 -m8 -D"$seconds" "${fields[@]}" "$2" >"$work/load"
      awk '/^requests:/ { if ($8 != $2 && $10 + $12 + $14 > 0) exit 1; n = $8 } /^finished in/ { rps = $4 } /status codes:/ { ok = $3 }
        END { if (ok + 0 < n) exit 1; print n, rps }' "$work/load"
      ;;
    *)
      wrk -t1 -c"$connections" -d"${seconds}s" "${fields[@]}" "$2" >"$work/load"
      ! grep -q 'Non-2xx' "$work/load" && awk '/requests in/ { n = $1 } /Requests\/sec/ { rps = $2 } END { print n, rps }' "$work/load"
      ;;
  esac || { echo "bench: $1 $2 answered errors" >&2; cat "$work/load" >&2; exit 1; }
}
measure() { # measure CASE PID HOW URL: appends "CASE cpu_us rps"
  local before after counted
  before=$(cpu_ns "$2")
  counted=$(load "$3" "$4")
  after=$(cpu_ns "$2")
  awk -v case="$1" -v ns=$((after - before)) '{ printf "%s %.3f %.0f\n", case, ns / 1000 / $1, $2 }' <<<"$counted" >>"$work/results"
}

nginx_url() { case $1 in 1MiB) echo "http://127.0.0.1:$nginx_port/1MiB" ;; h2) echo "http://127.0.0.1:$nginx_h2c/" ;; tls-*) echo "https://127.0.0.1:$nginx_tls/" ;; *) echo "http://127.0.0.1:$nginx_port/" ;; esac; }
gateway_url() { case $1 in 1MiB) echo "http://127.0.0.1:$gateway_port/1MiB" ;; tls-*) echo "https://127.0.0.1:$gateway_tls/" ;; *) echo "http://127.0.0.1:$gateway_port/" ;; esac; }

proxying=${PROXYING-h1-64 h1-512 1MiB h2 tls-h1 tls-h2}
policies=${POLICIES-fresh1 pooled1 fresh4 pooled4 limit-fresh limit-pooled limit-redis limit-lease limit-places}
for case in $policies; do wrk -t1 -c64 -d1s "http://127.0.0.1:$gateway_port/$case" >/dev/null; done
for case in $proxying; do seconds=1 load "$case" "$(nginx_url "$case")" >/dev/null; seconds=1 load "$case" "$(gateway_url "$case")" >/dev/null; done
for _ in $(seq "$rounds"); do
  for case in $proxying; do
    measure "nginx:$case" "$nginx_pid" "$case" "$(nginx_url "$case")"
    measure "$case" "$gateway_pid" "$case" "$(gateway_url "$case")"
  done
  for case in $policies; do measure "$case" "$gateway_pid" h1-64 "http://127.0.0.1:$gateway_port/$case"; done
done

echo "CPU per request, medians of $rounds rounds of ${seconds}s, 1 worker each"
echo "$(nginx -v 2>&1 | sed 's/.*: //'), $(target/release/portcullis --version), $(nproc) cores, $(uname -sr)"
awk '
  function median(list, n,   i, j, t) { for (i = 2; i <= n; i++) { t = list[i]; for (j = i - 1; j > 0 && list[j] > t; j--) list[j + 1] = list[j]; list[j + 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2 }
  function of(name, table, other, how,   i, list) {
    for (i = 1; i <= n[name]; i++) list[i] = how == "ratio" ? cpu[name, i] / cpu[other, i] : how == "more" ? cpu[name, i] - cpu[other, i] : table == "cpu" ? cpu[name, i] : rps[name, i]
    return median(list, n[name]) }
  { n[$1]++; cpu[$1, n[$1]] = $2; rps[$1, n[$1]] = $3; if (n[$1] == 1) order[++cases] = $1 }
  END { printf "%-14s %10s %10s %10s %12s %12s\n", "proxying", "nginx µs", "our µs", "× nginx", "nginx req/s", "our req/s"
    for (c = 1; c <= cases; c++) { name = order[c]; beside = "nginx:" name
      if (beside in n) printf "%-14s %10.1f %10.1f %10.2f %12.0f %12.0f\n", name, of(beside, "cpu"), of(name, "cpu"), of(name, "cpu", beside, "ratio"), of(beside, "rps"), of(name, "rps") }
    printf "\n%-14s %10s %10s %10s %12s\n", "policies", "", "our µs", "× nginx", "h1-64 + µs"
    for (c = 1; c <= cases; c++) { name = order[c]
      if (name !~ /^nginx:/ && !(("nginx:" name) in n)) printf "%-14s %10s %10.1f %10.2f %+12.1f\n", name, "", of(name, "cpu"), of(name, "cpu", "nginx:h1-64", "ratio"), of(name, "cpu", "h1-64", "more") } }
' "$work/results"
echo
# The build first, apart from what is measured.
binary=$(cargo bench --package portcullis --bench policy_call --no-run 2>&1 | grep -o 'target/release/deps/policy_call-[0-9a-f]*')
"$binary"
strace -f -c -o "$work/strace" "$binary" fresh >"$work/fresh"
awk -v calls="$(sed -n 's/^calls //p' "$work/fresh")" '$NF == "ioctl" { printf "a fresh instance makes %.2f system calls (ioctl PAGEMAP_SCAN; %d in %d calls)\n", $4 / calls, $4, calls }' "$work/strace"
