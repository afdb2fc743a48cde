#!/bin/sh
# Deploys beside Clearway: waits for the gate, begins, deploys, reports, and waits for the verdict. Where the verdict fails it rolls back, and reports that.
#
#   deploy-with-clearway.sh CHG-7 ./deploy.sh ./roll-back.sh
#
# Clearway is found as always: CLEARWAY_SERVER and CLEARWAY_TOKEN_FILE. The exit code is 0 only if the change completed.
set -eu

change=$1
deploy=$2
roll_back=$3

clearway wait "$change" --until open --timeout "${GATE_TIMEOUT:-2h}"
clearway begin "$change"

# Whoever cancels the pipeline in the middle leaves a target that nobody knows: people are asked.
trap 'clearway finish "$change" --outcome unknown --note "the pipeline was cancelled" || true; exit 1' INT TERM

if "$deploy"; then
    clearway finish "$change"
else
    clearway finish "$change" --outcome failed --note "the deployment ended with exit code $?"
fi
trap - INT TERM

verdict=0
clearway wait "$change" --until done --timeout "${VERDICT_TIMEOUT:-4h}" || verdict=$?
if [ "$verdict" -eq 7 ]; then
    if "$roll_back"; then
        clearway finish "$change" --outcome rolled-back
    else
        clearway finish "$change" --outcome failed --note "the rollback ended with exit code $?"
    fi
fi
exit "$verdict"
