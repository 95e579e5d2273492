#!/bin/sh
# What every container starts with: it listens on, and makes known, its own address, unless it is
# told another (a name that others can look up, for example).
set -eu
own=$(hostname -i)
: "${DASHCELL_LISTEN_HOST:=${own%% *}}"
export DASHCELL_LISTEN_HOST
exec "$@"
