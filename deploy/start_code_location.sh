#!/bin/sh
# Start the code location's server. Beside it, fail the runs that died with the previous one.
set -eu
python "$DAGSTER_HOME/fail_lost_runs.py" &
exec dagster api grpc --module-name metrics_platform.definitions --host 0.0.0.0 --port "$DAGSTER_CODE_PORT"
