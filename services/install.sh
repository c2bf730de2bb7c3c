#!/usr/bin/env bash
# Installs what building and testing the suite need beside Rust, where it is missing: with apt-get on
# Debian and Ubuntu, as root or with sudo that asks no password. Elsewhere, or with --check, it only
# says what is missing. Does nothing, at once, when all is there. A service that tests find by
# FORESHOCK_TEST_KAFKA, _REDIS or _TRITON is not run here, and what only it needs is not missing.
set -euo pipefail

case ${1:-} in
  '' | --check) ;;
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit ;;
  *) echo "install: $1 is not known: see --help" >&2; exit 2 ;;
esac

say() { printf 'install: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null; }

# What is missing: the commands or files for messages, and Debian's packages that have them.
look() {
  missing=() packages=()
  need have gcc -- gcc libc6-dev
  need have g++ -- g++
  need have make -- make
  need have protoc -- protobuf-compiler
  need have kcat -- kcat
  need have curl -- curl
  need have npm -- npm
  need have_node "Node.js 18 or later" -- nodejs
  need have_chromium chromium -- chromium
  need have_venv "Python 3 with venv" -- python3 python3-venv
  if [ -z "${FORESHOCK_TEST_REDIS:-}" ]; then need have redis-server -- redis-server; fi
  if [ -z "${FORESHOCK_TEST_KAFKA:-}" ]; then
    need have_java "Java 17 or later" -- openjdk-17-jre-headless
    need have mvn -- maven
  fi
  if [ -z "${FORESHOCK_TEST_TRITON:-}" ]; then
    need have_python "python3.11 with venv and libpython3.11, on Linux x86_64" -- python3.11 python3.11-venv libpython3.11
  fi
}

# need TEST WHAT -- PACKAGES: PACKAGES bring WHAT, which is here if `TEST WHAT` says so.
need() {
  local test=$1 what=$2
  shift 3
  if "$test" "$what"; then return; fi
  missing+=("$what")
  packages+=("$@")
}

have_java() {
  local version
  version=$("${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') || true
  [ "${version:-0}" -ge 17 ]
}

# What the tests of the web pages run on.
have_node() {
  local version
  version=$(node --version 2>/dev/null) || return
  version=${version#v}
  [ "${version%%.*}" -ge 18 ]
}

have_chromium() { [ -x "${CHROMIUM:-/usr/bin/chromium}" ]; }

have_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# As triton/serve_cpu.sh looks for them.
have_python() {
  [ "$(uname -sm)" = "Linux x86_64" ] || return
  "${PYTHON:-python3.11}" - 2>/dev/null <<'END'
import ensurepip, os, sys, sysconfig, venv
folders = [sysconfig.get_config_var("LIBDIR"), sys.base_prefix + "/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"]
sys.exit(not any(os.path.exists(f"{folder}/libpython3.11.so.1.0") for folder in folders))
END
}

# Whether apt-get can be used, and how.
find_apt() {
  have apt-get || return
  if [ "$(id -u)" = 0 ]; then root=(env)
  elif sudo -n true 2>/dev/null; then root=(sudo -n env)
  else return 1; fi
}

# The packages that this release of Debian or Ubuntu has: one that it lacks would fail them all.
known() {
  local package
  for package in "${packages[@]}"; do
    if [ -n "$(apt-cache madison "$package" 2>/dev/null)" ]; then echo "$package"; fi
  done
}

install() {
  say "installing what is missing: ${missing[*]}"
  "${root[@]}" apt-get update -qq || true
  local wanted
  mapfile -t wanted < <(known)
  if [ ${#wanted[@]} = 0 ]; then return; fi

  # The package of Redis starts a daemon on port 6379, which nobody here wants.
  local policy=/usr/sbin/policy-rc.d daemon=
  case " ${wanted[*]} " in *' redis-server '*) daemon=redis-server ;; esac
  if [ -n "$daemon" ] && [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
    "${root[@]}" chmod 755 $policy
    # shellcheck disable=SC2064 # $policy is of this function
    trap "${root[*]} rm -f $policy" EXIT
  fi
  "${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${wanted[@]}" >/dev/null || true
  if [ -n "$daemon" ] && have systemctl; then
    "${root[@]}" systemctl disable --quiet $daemon 2>/dev/null || true
  fi
}

look
if [ ${#missing[@]} = 0 ]; then exit; fi
if [ "${1:-}" != --check ] && find_apt; then
  install
  hash -r
  look
  if [ ${#missing[@]} = 0 ]; then exit; fi
fi

{
  echo "install: missing here, and needed:"
  printf '  %s\n' "${missing[@]}"
  echo "Debian and Ubuntu have them in: ${packages[*]}"
  echo
  echo "For tests, Docker can take the place of Java, Maven, redis-server and Python:"
  echo "  docker compose -f docker-compose.yml -f docker-compose.minilm.yml up -d kafka redis triton"
  echo "  export FORESHOCK_TEST_KAFKA=localhost:9092 FORESHOCK_TEST_REDIS=localhost:6379 FORESHOCK_TEST_TRITON=localhost:8002"
} >&2
exit 1
