#!/usr/bin/env bash
# Puts prometheus, promtool and node_exporter into the folder $1, out of the packages of Debian or Ubuntu: apt
# checks their signatures, and nothing is installed. It needs no root. Where there is no apt, or it can't fetch
# them, it says so and fails.
set -euo pipefail
target=$(realpath -m "$1")
packages=(prometheus prometheus-node-exporter)
if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
  echo "there is no apt here to fetch Prometheus with" >&2
  exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
own=(-o "Dir::State=$folder/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$folder/cache")
mkdir -p state/lists/partial cache/archives/partial
# the lists of this machine first; where they are missing or old, lists of our own
apt-get -qq download "${packages[@]}" > /dev/null 2>&1 ||
  { apt-get -qq "${own[@]}" update > /dev/null && apt-get -qq "${own[@]}" download "${packages[@]}" > /dev/null; }
for package in *.deb; do
  dpkg-deb -x "$package" unpacked
done
mkdir -p "$target"
cp unpacked/usr/bin/prometheus unpacked/usr/bin/promtool "$target"
cp unpacked/usr/bin/prometheus-node-exporter "$target/node_exporter"
touch "$target/ready"
