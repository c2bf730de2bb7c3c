#!/usr/bin/env bash
# Serves triton/model_repository on the CPU of this machine, without Docker: a real tritonserver from
# the PyPI package nvidia-pytriton. Installs it into the cache folder the first time. Runs in the
# foreground until Ctrl-C or SIGTERM. Further arguments go to tritonserver.
#
#   MODEL_NAME           a model folder or a name on the hub; default: the model `foreshock model` fetches
#   TRITON_HTTP_PORT     8001
#   TRITON_GRPC_PORT     8002
#   TRITON_METRICS_PORT  8003
#   TRITON_ADDRESS       127.0.0.1
#   FORESHOCK_CACHE      ~/.cache/foreshock
#   PYTHON               python3.11
set -euo pipefail

PYTRITON=nvidia-pytriton==0.7.0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${FORESHOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/foreshock}
default_model=$cache/models/all-MiniLM-L6-v2
venv=$cache/triton/venv
server=$venv/pytriton/pytriton/tritonserver

say() { printf 'serve_cpu: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

case ${1:-} in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit ;; esac

# What is to be served, and what it needs. Sets MODEL_NAME and `set`.
choose_model() {
  export MODEL_NAME=${MODEL_NAME:-$default_model}
  if [ "$MODEL_NAME" = "$default_model" ] && [ ! -f "$default_model/model.onnx" ]; then
    fail "there is no model in $default_model: fetch it with \`foreshock model\` (cargo run --release -- model), or set MODEL_NAME"
  fi
  set=requirements.txt
  if [ -d "$MODEL_NAME" ]; then
    MODEL_NAME=$(cd "$MODEL_NAME" && pwd)
    if [ -f "$MODEL_NAME/model.onnx" ] || [ -f "$MODEL_NAME/onnx/model.onnx" ]; then
      set=requirements-onnx.txt
    elif [ ! -f "$MODEL_NAME/config.json" ]; then
      fail "MODEL_NAME: the folder $MODEL_NAME holds neither model.onnx nor config.json, so no model"
    fi
  else
    case $MODEL_NAME in /* | .* | '~'*) fail "MODEL_NAME: there is no folder $MODEL_NAME" ;; esac
  fi
}

find_python() {
  python=${PYTHON:-python3.11}
  [ "$(uname -sm)" = "Linux x86_64" ] || fail "NVIDIA packages Triton for Linux on x86_64 only, this is $(uname -sm): use Docker"
  local version
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
    fail "needs Python 3.11, and $python does not run: install python3.11 and python3.11-venv, or name it with PYTHON="
  [ "$version" = 3.11 ] || fail "needs Python 3.11, and $python is Python $version: name another with PYTHON="
}

# Makes the virtual environment, or adds to it what is missing. An interrupted one is made anew, so is
# one of other versions.
install() {
  local stamp
  stamp="$PYTRITON $(cat "$here"/requirements*.txt | grep -v '^#' | sha256sum | cut -c 1-16)"
  if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ] || [ ! -x "$venv/bin/python" ]; then
    find_python
    say "installing Triton into $venv (once)"
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "$python cannot make virtual environments: on Debian and Ubuntu install python3.11-venv"
    # Only the server in it is wanted: a folder of its own, without what the package depends on.
    pip_install --no-deps --target "$venv/pytriton" "$PYTRITON"
    # The part that the package leaves to its own launcher to do.
    cp "$server/python_backend_stubs/3.11/triton_python_backend_stub" "$server/backends/python/"
    chmod 755 "$server/backends/python/triton_python_backend_stub" "$server/bin/tritonserver"
    echo "$stamp" >"$venv/stamp"
  fi
  if [ ! -e "$venv/has-$set" ]; then
    if [ "$set" = requirements.txt ]; then say "installing torch and transformers (once, some gigabytes)"; fi
    pip_install -r "$here/$set"
    touch "$venv/has-$set"
  fi
}

pip_install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
    fail "pip could not install $* (see above); a glibc under 2.35 or no network are the usual reasons"
}

# The backend's stub is linked with libpython3.11.so.1.0, which Python is not always built with and the
# loader does not always know.
link_libpython() {
  local library=libpython3.11.so.1.0 folder
  for folder in $("$venv/bin/python" -c 'import sys, sysconfig; print(sysconfig.get_config_var("LIBDIR"), sys.base_prefix + "/lib")') \
    /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib; do
    if [ -f "$folder/$library" ]; then
      mkdir -p "$venv/libpython"
      ln -sf "$folder/$library" "$venv/libpython/$library"
      return
    fi
  done
  fail "there is no $library: install it (Debian and Ubuntu: libpython3.11), or use a Python built with --enable-shared"
}

choose_model
mkdir -p "$cache/triton"
exec 9>"$cache/triton/lock" # two at once install one after the other
flock 9
install
link_libpython
exec 9>&-

address=${TRITON_ADDRESS:-127.0.0.1}
http=${TRITON_HTTP_PORT:-8001} grpc=${TRITON_GRPC_PORT:-8002} metrics=${TRITON_METRICS_PORT:-8003}
say "serving $MODEL_NAME on $address: HTTP $http, gRPC $grpc, metrics $metrics"
# The stub takes the Python that is first on PATH.
export PATH="$venv/bin:$PATH" PYTHONUNBUFFERED=1
export LD_LIBRARY_PATH="$venv/libpython${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$server/bin/tritonserver" \
  --model-repository="$here/model_repository" \
  --backend-directory="$server/backends" \
  --http-address="$address" --http-port="$http" \
  --grpc-address="$address" --grpc-port="$grpc" \
  --metrics-address="$address" --metrics-port="$metrics" \
  --disable-auto-complete-config --allow-gpu-metrics=false --exit-timeout-secs=5 "$@"
