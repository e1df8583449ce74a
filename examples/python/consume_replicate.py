#!/usr/bin/env python3
"""Follows a topic in the Go tool's format (`"format": "replicate"`) and prints each change as one
line of JSON:

    {"change": "insert", "collection": "sales.orders", "partition": "p", "row": {"id": 1, …}}
    {"change": "delete", "collection": "sales.orders", "key": 1}
    {"change": "create index", "request": {…}}

The topic needs one partition, or requests and rows are not in order. A real consumer writes to its
own system where this one prints. It keeps one row for each key, so that a change that comes twice
does no harm.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong command line.
"""

import base64
import json
import struct
import sys

from google.protobuf.message import DecodeError
from pymilvus.grpc_gen import common_pb2, msg_pb2

import topic

# Requests on users contain these, as the source logs them.
SECRETS = ("password", "oldPassword", "newPassword")


def changes_of(record):
    """What a record says."""
    value = json.loads(record.value())
    kind, data = value["info"], json.loads(value["data"])
    if kind == "replicate message":
        for message in data["MsgsBytes"]:
            yield from changes_in(base64.b64decode(message))
    else:
        request = {name: data[name] for name in data if name not in SECRETS}
        yield {"change": kind, "request": request}


def changes_in(raw):
    """What a message of Milvus's log says. Its header tells its type."""
    types = common_pb2.MsgType
    kind = common_pb2.MsgHeader.FromString(raw).base.msg_type
    if kind == types.Insert:
        insert = msg_pb2.InsertRequest.FromString(raw)
        where = {"collection": named(insert.db_name, insert.collection_name)}
        for row in rows_of(insert):
            yield {"change": "insert", **where, "partition": insert.partition_name, "row": row}
    elif kind == types.Delete:
        delete = msg_pb2.DeleteRequest.FromString(raw)
        for key in keys_of(delete):
            yield {
                "change": "delete",
                "collection": named(delete.db_name, delete.collection_name),
                "key": key,
            }
    elif kind == types.DropCollection:
        drop = msg_pb2.DropCollectionRequest.FromString(raw)
        yield {"change": "drop", "collection": named(drop.db_name, drop.collectionName)}
    elif kind == types.DropPartition:
        drop = msg_pb2.DropPartitionRequest.FromString(raw)
        collection = named(drop.db_name, drop.collection_name)
        yield {"change": "drop", "collection": collection, "partition": drop.partition_name}
    elif kind != types.TimeTick:
        raise topic.Failed(f"the message type {kind} is not known")


def named(database, collection):
    return f"{database or 'default'}.{collection}"


def rows_of(insert):
    """The rows of an insert, which has them by column."""
    count = insert.num_rows or len(insert.timestamps)
    columns = {
        column.field_name or "$meta": values_of(column, count) for column in insert.fields_data
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]


def keys_of(delete):
    kind = delete.primary_keys.WhichOneof("id_field")
    return getattr(delete.primary_keys, kind).data if kind else delete.int64_primary_keys


def values_of(column, count):
    """A value for each row; none where a nullable field has nothing."""
    if column.WhichOneof("field") == "scalars":
        values = scalars(column.scalars)
    else:
        values = vectors(column.vectors)
    valid = column.valid_data
    if not valid:
        return values
    if len(values) == count:
        return [value if is_valid else None for value, is_valid in zip(values, valid)]
    # What is null has no placeholder.
    rest = iter(values)
    return [next(rest) if is_valid else None for is_valid in valid]


def scalars(field):
    kind = field.WhichOneof("data")
    if kind is None:
        return []
    values = getattr(field, kind).data
    if kind == "json_data":
        return [json.loads(value) for value in values]
    if kind == "array_data":
        return [scalars(value) for value in values]
    if kind in ("bytes_data", "geometry_data"):
        return [in_base64(value) for value in values]
    return list(values)


def vectors(field):
    """Vectors of floats and of signed bytes as numbers, sparse ones as index and value, others in
    base64."""
    kind = field.WhichOneof("data")
    if kind is None:
        return []
    values = getattr(field, kind)
    if kind == "float_vector":
        return cut(list(values.data), field.dim)
    if kind == "sparse_float_vector":
        return [dict(struct.iter_unpack("<If", vector)) for vector in values.contents]
    if kind == "int8_vector":
        return [list(struct.unpack(f"{field.dim}b", v)) for v in cut(values, field.dim)]
    if kind == "binary_vector":
        return [in_base64(vector) for vector in cut(values, field.dim // 8)]
    if kind in ("float16_vector", "bfloat16_vector"):
        return [in_base64(vector) for vector in cut(values, 2 * field.dim)]
    raise topic.Failed(f"the vector type {kind} is not known")


def cut(values, width):
    return [values[at : at + width] for at in range(0, len(values), width)]


def in_base64(value):
    return base64.b64encode(value).decode()


def main():
    given = topic.arguments("Prints the changes in a topic of the Go tool's format.")
    for record in topic.records(given):
        try:
            changes = list(changes_of(record))
        except (ValueError, KeyError, TypeError, DecodeError) as error:
            place = f"partition {record.partition()}, offset {record.offset()}"
            raise topic.Failed(f"{place} is not in the Go tool's format: {error!r}") from None
        for change in changes:
            print(json.dumps(change), flush=True)


if __name__ == "__main__":
    try:
        main()
    except topic.Failed as failed:
        sys.exit(f"consume_replicate.py: {failed}")
    except KeyboardInterrupt:
        pass
