#!/usr/bin/env bash
# A task from its creation to its end, with curl and jq. It only wraps requests to /api/v1.
#
#   task.sh check REQUEST.json      say what a creation would cover, and create nothing
#   task.sh create REQUEST.json     create a task and print its id
#   task.sh watch TASK [SECONDS]    wait until the target has all that the source's queue has now
#   task.sh pause TASK
#   task.sh resume TASK
#   task.sh delete TASK
#
# Variables: MILVUS_CDC_SERVER is the service, MILVUS_CDC_API_TOKEN its token if it asks for one,
# MILVUS_CDC_API_CA a PEM file with the authority of its certificate.
#
# Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong command line.
set -euo pipefail

server=${MILVUS_CDC_SERVER:-http://127.0.0.1:8444}
pause_seconds=1

fail() {
    echo "task.sh: $1" >&2
    exit 1
}

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# The token goes through a file descriptor: other users of this machine can read arguments.
settings() {
    if [[ -n ${MILVUS_CDC_API_TOKEN:-} ]]; then
        echo "header = \"Authorization: Bearer $MILVUS_CDC_API_TOKEN\""
    fi
    if [[ -n ${MILVUS_CDC_API_CA:-} ]]; then
        echo "cacert = \"$MILVUS_CDC_API_CA\""
    fi
}

# call METHOD PATH [FILE]: prints the body of the answer, or ends with the reason of a refusal.
call() {
    local answer body status send=()
    if [[ -n ${3:-} ]]; then
        [[ -r $3 ]] || fail "$3 can't be read"
        send=(--header 'Content-Type: application/json' --data "@$3")
    fi
    # A pause waits until the open window is finished, which takes up to half a minute.
    answer=$(curl --silent --show-error --max-time 60 --config <(settings) --request "$1" \
        "${send[@]}" --write-out '\n%{http_code}' "$server/api/v1$2") ||
        fail "no answer from $server: is it the address of milvus-cdc?"
    status=${answer##*$'\n'}
    body=${answer%$'\n'*}
    if [[ $status != 2?? ]]; then
        fail "refused with status $status: $(explain <<<"$body")"
    fi
    printf '%s\n' "$body"
}

# Makes a sentence of a problem (RFC 9457); shows whatever else was answered as it is.
explain() {
    local body
    body=$(cat)
    jq --raw-output '"\(if .field then "\(.field): " else "" end)\(.detail). \(.remedy // "")"' \
        <<<"$body" 2>/dev/null || echo "$body"
}

create() {
    local created
    created=$(call POST /tasks "$1")
    jq --raw-output '.warnings // [] | .[] | "warning: \(.)"' <<<"$created" >&2
    jq --raw-output .task_id <<<"$created"
}

watch() {
    local task=$1 deadline=$((SECONDS + ${2:-600})) began='' goal='{}' seen look
    while true; do
        seen=$(call GET "/tasks/$task")
        jq --raw-output '(.status.lag_seconds | if . then (. * 10 | round / 10) else "unknown" end)
            as $lag | "\(.state), \(.status.stage), lag \($lag) s" +
            (if .status.waiting then ", waiting: \(.status.waiting)" else "" end)' <<<"$seen" >&2
        if jq --exit-status '.state == "Paused"' <<<"$seen" >/dev/null; then
            fail "the task is paused: $(jq --raw-output '.reason // "without a reason"' <<<"$seen")"
        fi
        began=${began:-$(jq .status.at_ms <<<"$seen")}
        # The goal of a channel is its end as it was read for the first time after this watch began.
        look=$(jq --argjson began "$began" --argjson goal "$goal" '.status.channels as $channels |
            (reduce ($channels[] | select(.looked_ms > $began)) as $channel
                ($goal; .[$channel.channel_name] //= $channel.source_ms)) as $goal |
            {$goal, reached: (($channels | length) > 0 and all($channels[];
                $goal[.channel_name] != null and .acknowledged_ms >= $goal[.channel_name]))}' \
            <<<"$seen")
        if jq --exit-status .reached <<<"$look" >/dev/null; then
            echo "caught up"
            return
        fi
        goal=$(jq .goal <<<"$look")
        if ((SECONDS >= deadline)); then
            fail "the time is up: $(jq --raw-output '.status | .waiting //
                if .channels == [] then
                    "no channel is read; does the source have a collection of the task?"
                else "it lags by \(.lag_seconds) s" end' <<<"$seen")"
        fi
        sleep "$pause_seconds"
    done
}

for program in curl jq; do
    command -v "$program" >/dev/null || fail "$program is not installed"
done

case "${1:-} $#" in
    'check 2') call POST /tasks/check "$2" | jq . ;;
    'create 2') create "$2" ;;
    'watch 2' | 'watch 3') watch "$2" "${3:-600}" ;;
    'pause 2' | 'resume 2') call POST "/tasks/$2/$1" ;;
    'delete 2') call DELETE "/tasks/$2" ;;
    *) usage ;;
esac
