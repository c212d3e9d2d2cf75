#!/usr/bin/env bash
# Builds the servers that tests/stack drives: collector, Prometheus with promtool, Loki, and the
# stand-in for the parts that cannot be built from Go modules. Needs Go and the Go module proxy.
#
# They land outside the clone, in ${PROLETTO_BACKENDS:-~/.cache/proletto-otel/backends}/<name>/<version>/.
# What is built already, from the same modules, is left alone.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
# shellcheck source=backends/versions.env
source versions.env
cache=${PROLETTO_BACKENDS:-${XDG_CACHE_HOME:-$HOME/.cache}/proletto-otel/backends}
export CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath -buildvcs=false"
link=(-ldflags "-s -w")

command -v go >/dev/null || { echo "backends: Go is needed (https://go.dev/dl)" >&2; exit 1; }
mkdir -p "$cache"
# Two runs at once build once.
exec 9>"$cache/.lock"
flock 9
trap 'rm -rf "$cache"/.build-*' EXIT

# build NAME VERSION SOURCES... : calls build_NAME in a scratch directory unless NAME is up to date.
build() {
  local name=$1 version=$2; shift 2
  local home="$cache/$name/$version" key scratch
  key=$(cat "$@" versions.env build.sh | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$home/.key" 2>/dev/null)" = "$key" ]; then
    echo "backends: $name $version is built"
    return
  fi
  echo "backends: building $name $version"
  scratch=$(mktemp -d "$cache/.build-XXXXXX")
  mkdir "$scratch/out"
  (cd "$scratch" && "build_$name")
  echo "$key" > "$scratch/out/.key"
  mkdir -p "$cache/$name"
  rm -rf "$home"
  mv "$scratch/out" "$home"
}

build_collector() {
  # The builder writes main.go and the list of components; its own way to find modules asks for
  # test-only ones, so go.mod and go.sum are ours.
  GOFLAGS=-mod=mod go run "go.opentelemetry.io/collector/cmd/builder@v$COLLECTOR_VERSION" \
    --config "$here/collector/manifest.yaml" --output-path source \
    --skip-get-modules --skip-compilation >builder.log 2>&1 || { cat builder.log >&2; return 1; }
  cp "$here"/collector/go.{mod,sum} source/
  cd source && go build "${link[@]}" -o ../out/otelcol-contrib .
}

build_prometheus() {
  local out=$PWD/out module=github.com/prometheus/prometheus
  cd "$here/prometheus" && go build "${link[@]}" -o "$out/" $module/cmd/{prometheus,promtool}
}

build_loki() {
  local out=$PWD/out
  cd "$here/loki" && go build "${link[@]}" -o "$out/" github.com/grafana/loki/v3/cmd/loki
}

build_standin() {
  local out=$PWD/out
  cd "$here/../tests/stack/standin" && go build "${link[@]}" -o "$out/standin" .
}

build collector "$COLLECTOR_VERSION" collector/manifest.yaml collector/go.mod collector/go.sum
build prometheus "$PROMETHEUS_VERSION" prometheus/go.mod prometheus/go.sum
build loki "$LOKI_VERSION" loki/go.mod loki/go.sum
build standin 1 ../tests/stack/standin/main.go ../tests/stack/standin/go.mod
