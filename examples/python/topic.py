"""Reads the topics of a task with confluent-kafka: each record at least once, in the order of its
partition. Never looks into a record."""

import argparse

from confluent_kafka import Consumer, KafkaError, KafkaException

# A broker that is up answers at once.
ANSWER_WITHIN = 10

# Between two looks at the keyboard.
POLL_SECONDS = 0.5


class Failed(Exception):
    """What went wrong, in a sentence."""


def arguments(description):
    """The options that all consumers have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--brokers", required=True, help="host:port, separated by commas")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True, help="who remembers how far was read")
    parser.add_argument(
        "--until-end", action="store_true", help="stop when nothing more is there at the moment"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of librdkafka, such as security.protocol=SASL_SSL",
    )
    return parser.parse_args()


def records(given):
    """Yields the records of a topic. A record counts as read when the next one is asked for, so
    after a crash the last ones come again."""
    consumer = Consumer(settings(given))
    try:
        must_be_there(consumer, given)
        ended = set()
        # With a callback of its own, partitions move to another reader of the group only in `poll`.
        consumer.subscribe([given.topic], on_revoke=lambda *_: ended.clear())
        while True:
            record = consumer.poll(POLL_SECONDS)
            if record is None:
                pass
            elif record.error() is None:
                ended.discard(record.partition())
                yield record
                consumer.store_offsets(record)
            elif record.error().code() == KafkaError._PARTITION_EOF:
                ended.add(record.partition())
            else:
                raise Failed(f"{given.topic} can't be read: {record.error().str()}")
            mine = {partition.partition for partition in consumer.assignment()}
            if given.until_end and mine and mine <= ended:
                return
    except KafkaException as error:
        raise Failed(f"{given.brokers}: {error.args[0].str()}") from None
    finally:
        # Says to the brokers how far was read, and leaves the group.
        consumer.close()


def settings(given):
    chosen = {
        "bootstrap.servers": given.brokers,
        "group.id": given.group,
        "auto.offset.reset": "earliest",
        # What was yielded and not yet handled must not count as read.
        "enable.auto.offset.store": False,
        # Rows of an append that failed are in the topic, too, but not for this level.
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        # What fails is reported below.
        "log_level": 2,
    }
    for setting in given.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise Failed(f"--set {setting}: write NAME=VALUE")
        chosen[name] = value
    return chosen


def must_be_there(consumer, given):
    """Without this a wrong address or topic would look like a topic without records."""
    try:
        found = consumer.list_topics(given.topic, timeout=ANSWER_WITHIN)
    except KafkaException as error:
        raise Failed(f"no answer from the brokers {given.brokers}: {error.args[0].str()}") from None
    error = found.topics[given.topic].error
    if error is not None:
        raise Failed(f"the topic {given.topic} can't be read: {error.str()}")
