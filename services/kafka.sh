#!/usr/bin/env bash
# Runs a real Apache Kafka on this machine, without Docker: one node in KRaft mode. Installs it from
# Maven into the cache folder the first time. Runs in the foreground until Ctrl-C or SIGTERM; started
# again with the same KAFKA_DATA it has everything it had.
#
#   KAFKA_PORT             9092
#   KAFKA_CONTROLLER_PORT  9093, for the broker alone
#   KAFKA_ADDRESS          127.0.0.1
#   KAFKA_DATA             a folder; default: kafka/data in the cache
#   KAFKA_PARTITIONS       1, of a topic that is created by its first use
#   FORESHOCK_CACHE        ~/.cache/foreshock
#   JAVA_HOME              else the java on PATH; 17 or later
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${FORESHOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/foreshock}/kafka
libs=$cache/libs

say() { printf 'kafka: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

case ${1:-} in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit ;;
  ?*) fail "no arguments, only environment variables: see --help" ;;
esac

find_java() {
  java=${JAVA_HOME:+$JAVA_HOME/bin/}java
  local version
  version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') || true
  [ -n "$version" ] || fail "needs Java 17 or later, and $java does not run: see services/install.sh"
  [ "$version" -ge 17 ] || fail "needs Java 17 or later, and $java is Java $version: name another with JAVA_HOME="
}

# Fetches the jars that kafka/pom.xml names, unless they are here. They are moved into place when whole.
install() {
  local stamp fresh=$cache/libs.new
  stamp=$(sha256sum <"$here/kafka/pom.xml")
  if [ "$(cat "$libs/stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  command -v mvn >/dev/null || fail "needs mvn (Maven) to fetch Kafka the first time: see services/install.sh"
  say "installing Kafka into $libs (once)"
  rm -rf "$fresh" "$libs"
  mvn --batch-mode --quiet -Dstyle.color=never --file "$here/kafka/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$fresh" >&2 || fail "Maven could not fetch Kafka (see above)"
  echo "$stamp" >"$fresh/stamp"
  mv "$fresh" "$libs"
}

find_java
mkdir -p "$cache"
exec 9>"$cache/lock" # two at once install one after the other
flock 9
install
exec 9>&-

address=${KAFKA_ADDRESS:-127.0.0.1}
port=${KAFKA_PORT:-9092} controller=${KAFKA_CONTROLLER_PORT:-9093}
data=${KAFKA_DATA:-$cache/data}
mkdir -p "$data"
data=$(cd "$data" && pwd)

# One node: every internal topic has one replica, and few partitions, for each costs time at start.
# Groups form and abandoned transactions end in a second, and after a SIGKILL the broker is let in again
# when the session of the killed one has ended: tests wait for all three.
cat >"$data/server.properties" <<END
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@$address:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$address:$port,CONTROLLER://$address:$controller
advertised.listeners=PLAINTEXT://$address:$port
log.dirs=$data/log
num.partitions=${KAFKA_PARTITIONS:-1}
auto.create.topics.enable=true
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
message.max.bytes=12582912
replica.fetch.max.bytes=12582912
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
END

# C1 alone and the serial collector: up in half the time, and enough for one machine.
run=("$java" -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
  "-Dlog4j.configuration=file:$here/kafka/log4j.properties" -cp "$libs/*")

if [ ! -f "$data/log/meta.properties" ]; then
  # The id means nothing to a cluster of one; Kafka wants one of 16 bytes in base64.
  "${run[@]}" kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id Zm9yZXNob2NrLWthZmthLQ --config "$data/server.properties" >/dev/null ||
    fail "cannot format $data/log (see above)"
fi
say "serving $data on $address:$port"
exec "${run[@]}" kafka.Kafka "$data/server.properties"
