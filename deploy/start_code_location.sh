#!/bin/sh
# The code location's server, and beside it what ends the runs of the one before.
set -eu
python "$DAGSTER_HOME/fail_lost_runs.py" &
exec dagster api grpc --module-name metrics_platform.definitions --host 0.0.0.0 --port "$DAGSTER_CODE_PORT"
