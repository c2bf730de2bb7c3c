#!/usr/bin/env bash
# Runs Redis on this machine in the foreground until Ctrl-C or SIGTERM, on 127.0.0.1 and without
# persistence: it is a cache. Further arguments go to redis-server.
#
#   REDIS_PORT  6379
set -euo pipefail

case ${1:-} in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit ;; esac

if ! command -v redis-server >/dev/null; then
  echo "redis: there is no redis-server: see services/install.sh" >&2
  exit 1
fi
exec redis-server --bind 127.0.0.1 --port "${REDIS_PORT:-6379}" --daemonize no \
  --save '' --appendonly no "$@"
