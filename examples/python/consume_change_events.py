#!/usr/bin/env python3
"""Follows a topic of change events (`"format": "change_event"`) and prints each change as one line
of JSON:

    {"change": "put", "table": "sales.orders", "key": {"id": 1}, "row": {"id": 1, …}, "tt": 4…}
    {"change": "delete", "table": "sales.orders", "key": {"id": 1}, "tt": 4…}

A real consumer writes to its own system where this one prints. It puts and deletes by key, so that
a change that comes twice does no harm.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong command line.
"""

import json
import sys

import topic


def change_of(record):
    """What a record says, or nothing: a tombstone only tells Kafka to forget the key."""
    if record.value() is None:
        return None
    key, event = json.loads(record.key()), json.loads(record.value())
    source = event["source"]
    change = {"table": f"{source['db']}.{source['table']}", "key": key, "tt": source["tt"]}
    if event["op"] == "c":
        return {"change": "put", "row": event["after"], **change}
    if event["op"] == "d":
        return {"change": "delete", **change}
    raise topic.Failed(f"the operation {event['op']!r} is not known")


def main():
    given = topic.arguments("Prints the changes in a topic of change events.")
    for record in topic.records(given):
        try:
            change = change_of(record)
        except (ValueError, KeyError, TypeError) as error:
            place = f"partition {record.partition()}, offset {record.offset()}"
            raise topic.Failed(f"{place} is not a change event: {error!r}") from None
        if change is not None:
            print(json.dumps(change), flush=True)


if __name__ == "__main__":
    try:
        main()
    except topic.Failed as failed:
        sys.exit(f"consume_change_events.py: {failed}")
    except KeyboardInterrupt:
        pass
