#!/usr/bin/env bash
# Compares the original voting page with ours: benches/original.sh FOLDER, where FOLDER is a copy of
# https://github.com/dockersamples/example-voting-app. It needs Docker and the base images of the original. No check runs it.
set -euo pipefail
original=${1:?the folder of the original voting app}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=original-vote-$$
cleanup() {
    docker rm --force "$name" "$name-redis" >/dev/null 2>&1 || true
    docker network rm "$name" >/dev/null 2>&1 || true
    docker image rm "$name" >/dev/null 2>&1 || true
}
trap cleanup EXIT

# A Redis of its own, as in the original's compose file. The stage `final` runs gunicorn with four workers; the stage
# before it is for development.
docker build --quiet --target final --tag "$name" "$original/vote"
docker network create "$name"
docker run --detach --name "$name-redis" --network "$name" --network-alias redis redis:alpine
docker run --detach --name "$name" --network "$name" --publish 127.0.0.1::80 "$name"
address=$(docker port "$name" 80/tcp | head -n 1)
until curl --silent --fail --output /dev/null "http://$address/"; do sleep 0.5; done

cargo bench -p benches -- "--original=$address" original
