#!/usr/bin/env bash
# Proves the suite of docker-compose.yml: builds and starts it, waits until every service is healthy,
# reads foreshock.links until it has the links of data/, sees replay end its second loop without a
# link too many, sees that the bot's token is the backend's alone, finds the links of the API's history and
# the database of subscribers again after down and up, has the sample analysed through the web pages, and
# removes everything. Prints what it does. Needs the suite's ports; its containers and volumes are a
# project of their own (foreshock-check), so those of the suite are not touched.
#
#   --minilm  with docker-compose.minilm.yml, and exactly the links of data/expected_links.csv; without
#             it CodeBERT is fetched, whose links differ: at least one must come
#   --keep    leave it running
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

HEALTHY=1500 # seconds for all services; CodeBERT is fetched meanwhile
LINKS=300    # seconds for the links, and again for the second loop

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'compose_check: %s\n' "$*" >&2; exit 1; }

files=(-f docker-compose.yml) minilm=false keep=false
for argument; do
  case $argument in
    --minilm) minilm=true files+=(-f docker-compose.minilm.yml) ;;
    --keep) keep=true ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit ;;
    *) fail "$argument is not known: see --help" ;;
  esac
done

command=(docker compose)
"${command[@]}" version >/dev/null 2>&1 || command=(docker-compose)
command -v "${command[0]}" >/dev/null || fail "needs Docker Compose"

export FORESHOCK_CACHE=${FORESHOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/foreshock}
if $minilm && [ ! -f "$FORESHOCK_CACHE/models/all-MiniLM-L6-v2/model.onnx" ]; then
  fail "there is no model in $FORESHOCK_CACHE: fetch it with \`foreshock model\` (cargo run --release -- model)"
fi

# The settings of this check, and nothing of the user's .env or shell.
project=foreshock-check
scratch=$(mktemp -d)
# A bot that nobody has, at an address where nobody listens.
token=123456789:compose-check-of-foreshock-0123456
printf '%s\n' SPEED=0 JITTER_MS=0 TELEGRAM_BOT_TOKEN=$token TELEGRAM_API_URL=http://localhost:9 >"$scratch/env"
unset SPEED JITTER_MS TIMESTAMPS TOPIC_PREFIX ROLES LOG_TZ WINDOW GRACE MAX_AHEAD REFERENCE_THRESHOLD \
  PAIR_THRESHOLD LOG_LEVEL TELEGRAM_BOT_TOKEN API_TOKEN CORS_ORIGINS UPLOAD_BYTES UPLOAD_FILES \
  UNPACKED_BYTES UNPACKED_RATIO ANALYSES JOBS_KEPT JOB_TTL JOBS_BYTES LINKS_KEPT TELEGRAM_API_URL \
  TELEGRAM_INVITE_CODE ALERT_REPEAT ALERT_KEEP ALERT_STORM WEBHOOK_URLS WEBHOOK_SECRET
compose() { "${command[@]}" --env-file "$scratch/env" --project-name $project "${files[@]}" "$@"; }

# What Docker has of the project.
left() {
  local label=label=com.docker.compose.project=$project
  docker ps --all --filter $label --format 'container {{.Names}}'
  docker volume ls --filter $label --format 'volume {{.Name}}'
  docker network ls --filter $label --format 'network {{.Name}}'
}

finish() {
  local code=$?
  if [ $code != 0 ]; then
    say "what the services said last"
    compose ps || true
    compose logs --tail 20 || true
  fi
  if $keep; then
    say "left running; ${command[*]} --project-name $project ${files[*]} down --volumes removes it"
  else
    say "down --volumes"
    compose down --volumes --remove-orphans || code=1
    if [ -n "$(left)" ]; then
      left
      echo "compose_check: this is left of it" >&2
      code=1
    else
      echo "nothing is left: no container, no volume, no network"
    fi
  fi
  rm -rf "$scratch"
  if [ $code = 0 ]; then say passed; else say FAILED; fi
  exit $code
}

# Each service that was started and its state of health, one a line.
health() {
  docker ps --all --quiet --filter label=com.docker.compose.project=$project | xargs -r docker inspect --format \
    '{{index .Config.Labels "com.docker.compose.service"}} {{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}'
}

# until_true SECONDS WHAT COMMAND…: tries every two seconds
until_true() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ $SECONDS -ge $end ]; then fail "$what"; fi
    sleep 2
  done
}

all_healthy() {
  health >"$scratch/health"
  [ -s "$scratch/health" ] && ! grep -qv ' healthy$' "$scratch/health"
}

# The values of foreshock.links, all there are now. The consumer ends when nothing comes, with an error.
read_links() {
  compose exec -T kafka timeout 60 kafka-console-consumer --bootstrap-server kafka:29092 \
    --topic foreshock.links --from-beginning --timeout-ms 5000 --isolation-level read_committed \
    --consumer-property allow.auto.create.topics=false 2>/dev/null >"$scratch/links" || true
}

# Compares them with data/expected_links.csv. Fails with 1 while some are missing, with 2 if there are others.
compare() {
  python3 - "$scratch/links" data/expected_links.csv $minilm <<'END'
import csv, json, sys

found, ids = set(), []
for line in open(sys.argv[1], encoding="utf-8"):
    link = json.loads(line)
    ids.append(link["id"])
    anomaly, problem = link["anomaly"], link["problem"]
    found.add((anomaly["id"], problem["id"], anomaly["event"]["file"], anomaly["event"]["line"],
               problem["event"]["file"], problem["event"]["line"]))
with open(sys.argv[2], encoding="utf-8") as file:
    expected = {(int(row["anomaly_id"]), int(row["problem_id"]), row["anomaly_file"], int(row["anomaly_line"]),
                 row["problem_file"], int(row["problem_line"])) for row in csv.DictReader(file)}
print(f"{len(ids)} records of {len(set(ids))} links: {len(found & expected)} of the {len(expected)} "
      f"expected ones, {len(found - expected)} others")
if sys.argv[3] != "true":
    sys.exit(not found)
for link in sorted(found - expected):
    print("not expected:", *link)
sys.exit(2 if found - expected else 1 if expected - found else 0)
END
}

links_are_there() {
  local code=0
  read_links
  compare || code=$?
  if [ $code = 2 ]; then fail "there are links that data/expected_links.csv does not have"; fi
  return $code
}

# The ids of the links of the history, one a line, into a file.
read_history() {
  python3 - >"$1" 2>/dev/null <<'END'
import json, urllib.request

address = "http://localhost:8000/links?limit=1000"
cursor = ""
while cursor is not None:
    with urllib.request.urlopen(address + cursor, timeout=10) as answer:
        page = json.load(answer)
    for link in page["links"]:
        print(link["id"])
    cursor = page["next"] and "&cursor=" + page["next"]
END
}

# Whether the history has what the topic has.
history_is_complete() {
  read_history "$scratch/history" &&
    python3 -c 'import json, sys; print(*{json.loads(line)["id"] for line in open(sys.argv[1])}, sep="\n")' \
      "$scratch/links" | sort | cmp --silent - <(sort "$scratch/history")
}

same_history() {
  read_history "$scratch/history.again" && cmp --silent "$scratch/history" "$scratch/history.again"
}

# The services that are given the token.
has_token() {
  docker ps --all --quiet --filter label=com.docker.compose.project=$project | xargs -r docker inspect --format \
    '{{index .Config.Labels "com.docker.compose.service"}} {{json .Config.Env}}' | grep -F "$token" | cut -d ' ' -f 1
}

# The database of subscribers: its name, and its number in the file system of its volume.
subscribers() { compose exec -T backend stat --format '%n, inode %i' db/subscribers.db; }

# Has the sample analysed as a browser without scripts would, and prints the address of the result.
send_sample() {
  curl --silent --show-error --max-time 60 --request POST --output /dev/null \
    --write-out '%{http_code} %{redirect_url}\n' http://localhost:8501/sample
}

result_is_there() {
  curl --silent --fail --max-time 10 --output "$scratch/result.csv" "$result/download/csv"
}

second_loop() {
  compose logs --no-color replay >"$scratch/log" 2>&1
  grep -m 1 'loop ends.*number=2\b' "$scratch/log"
}

trap finish EXIT
if [ -n "$(left)" ]; then
  say "removing what an earlier check left"
  compose down --volumes --remove-orphans
fi

say "${command[*]} ${files[*]} up --build -d"
compose up --build -d

say "every service healthy?"
until_true $HEALTHY "not every service became healthy" all_healthy
cat "$scratch/health"

say "the links of data/ in foreshock.links?"
until_true $LINKS "not all links came" links_are_there

say "vectors in Redis?"
vectors=$(compose exec -T redis redis-cli dbsize)
echo "$vectors"
[ "${vectors//[!0-9]/}" -gt 0 ] || fail "the cache is not used"

say "does replay go on with a second loop, which adds no link?"
until_true $LINKS "replay did not end its second loop" second_loop
sleep 15 # what the second loop may add by mistake, it has added by then
links_are_there || fail "links are gone"

say "the token of the bot at the backend alone, and in no log?"
has_token | tee "$scratch/has_token"
if [ "$(cat "$scratch/has_token")" != backend ]; then fail "others than the backend have the token"; fi
if compose logs --no-color 2>&1 | grep -F "$token"; then fail "the token is in a log"; fi

say "the same links in the history of the API, and the same subscribers, after down and up as well?"
until_true 60 "the history is not that of foreshock.links" history_is_complete
subscribers >"$scratch/subscribers"
compose down
compose up -d
until_true $HEALTHY "not every service became healthy again" all_healthy
until_true 60 "the history is not as it was before" same_history
subscribers | cmp - "$scratch/subscribers" || fail "the database of subscribers is another one"
wc -l <"$scratch/history"
cat "$scratch/subscribers"

say "the web pages: the sample, from its button to the file?"
for page in / /live /dictionary; do
  curl --silent --fail --max-time 10 --output /dev/null "http://localhost:8501$page" || fail "no page $page"
done
read -r status result < <(send_sample)
if [ "$status" != 303 ]; then fail "the sample was answered with $status"; fi
echo "$result"
until_true $LINKS "the sample was not analysed" result_is_there
curl --silent --fail --max-time 10 --output /dev/null "$result" || fail "no page of the result"
python3 - "$scratch/result.csv" data/expected_links.csv $minilm <<'END' || fail "the file has other links"
import csv, sys

found, expected = (sum(1 for _ in csv.DictReader(open(path, encoding="utf-8-sig"))) for path in sys.argv[1:3])
print(f"{found} links in the file")
sys.exit(found != expected if sys.argv[3] == "true" else not found)
END
