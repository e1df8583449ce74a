#!/usr/bin/env python3
"""A task from its creation to its end, with Python's standard library. It only wraps requests to
/api/v1.

Variables: MILVUS_CDC_SERVER is the service, MILVUS_CDC_API_TOKEN its token if it asks for one,
MILVUS_CDC_API_CA a PEM file with the authority of its certificate.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong command line.
"""

import argparse
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SERVER = os.environ.get("MILVUS_CDC_SERVER", "http://127.0.0.1:8444")

# A pause waits until the open window is finished, which takes up to half a minute.
ANSWER_WITHIN = 60

PAUSE_SECONDS = 1


class Failed(Exception):
    """What went wrong, in a sentence."""


def call(method, path, body=None):
    """Sends a request and returns the answer's JSON, if there is any."""
    request = urllib.request.Request(f"{SERVER}/api/v1{path}", data=body, method=method)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    token = os.environ.get("MILVUS_CDC_API_TOKEN")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    trust = ssl.create_default_context(cafile=os.environ.get("MILVUS_CDC_API_CA"))
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN, context=trust) as answer:
            text = answer.read()
    except urllib.error.HTTPError as refusal:
        raise Failed(f"refused with status {refusal.code}: {explain(refusal.read())}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        what = f"no answer from {SERVER}: {reason}; is it the address of milvus-cdc?"
        raise Failed(what) from None
    return json.loads(text) if text else None


def explain(text):
    """Makes a sentence of a problem (RFC 9457); shows whatever else was answered as it is."""
    try:
        problem = json.loads(text)
        field = f"{problem['field']}: " if problem.get("field") else ""
        return f"{field}{problem['detail']}. {problem.get('remedy', '')}"
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")


def path_of(task):
    return f"/tasks/{urllib.parse.quote(task, safe='')}"


def read(file):
    try:
        with open(file, "rb") as request:
            return request.read()
    except OSError as error:
        raise Failed(f"{file} can't be read: {error.strerror}") from None


def check(file):
    print(json.dumps(call("POST", "/tasks/check", read(file)), indent=2))


def create(file):
    created = call("POST", "/tasks", read(file))
    for warning in created.get("warnings", []):
        print(f"warning: {warning}", file=sys.stderr)
    print(created["task_id"])


def watch(task, timeout):
    deadline = time.monotonic() + timeout
    began, goal = None, {}
    while True:
        seen = call("GET", path_of(task))
        status = seen["status"]
        waiting = f", waiting: {status['waiting']}" if status["waiting"] else ""
        lag = "unknown" if status["lag_seconds"] is None else f"{status['lag_seconds']:.1f}"
        print(f"{seen['state']}, {status['stage']}, lag {lag} s{waiting}", file=sys.stderr)
        if seen["state"] == "Paused":
            raise Failed(f"the task is paused: {seen.get('reason') or 'without a reason'}")
        began = began or status["at_ms"]
        if reached(status["channels"], began, goal):
            print("caught up")
            return
        if time.monotonic() >= deadline:
            raise Failed(f"the time is up: {why_not(status)}")
        time.sleep(PAUSE_SECONDS)


def reached(channels, began, goal):
    """Whether each channel is on the target up to its goal: its end as it was read for the first
    time after the watch began."""
    for channel in channels:
        if (channel["looked_ms"] or 0) > began and channel["source_ms"] is not None:
            goal.setdefault(channel["channel_name"], channel["source_ms"])
    done = [
        channel["channel_name"] in goal
        and (channel["acknowledged_ms"] or 0) >= goal[channel["channel_name"]]
        for channel in channels
    ]
    return bool(done) and all(done)


def why_not(status):
    if status["waiting"]:
        return status["waiting"]
    if not status["channels"]:
        return "no channel is read; does the source have a collection of the task?"
    return f"it lags by {status['lag_seconds']} s"


def arguments():
    parser = argparse.ArgumentParser(description="A task from its creation to its end.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in [
        ("check", "say what a creation would cover, and create nothing"),
        ("create", "create a task and print its id"),
    ]:
        commands.add_parser(name, help=text).add_argument("request", help="a JSON file")
    for name, text in [
        ("watch", "wait until the target has all that the source's queue has now"),
        ("pause", "pause a task"),
        ("resume", "resume it"),
        ("delete", "delete it"),
    ]:
        commands.add_parser(name, help=text).add_argument("task")
    commands.choices["watch"].add_argument(
        "seconds", nargs="?", type=float, default=600, help="how long to wait at most"
    )
    return parser.parse_args()


def main():
    given = arguments()
    if given.command == "check":
        check(given.request)
    elif given.command == "create":
        create(given.request)
    elif given.command == "watch":
        watch(given.task, given.seconds)
    elif given.command == "delete":
        call("DELETE", path_of(given.task))
    else:
        call("POST", f"{path_of(given.task)}/{given.command}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"task.py: {failed}")
    except KeyboardInterrupt:
        sys.exit(130)
