"""The launchers start the real thing, and nothing but what the lock names."""

import json
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumer.local import broker, fetch
from consumer.local.broker import Kafka


def test_a_cluster_goes_on_without_one_node_and_takes_it_back(cluster: Kafka) -> None:
    """With one of three nodes killed, a committed transaction is read back; the node returns."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for made in admin.create_topics([NewTopic("survives", 1, 3)]).values():
        made.result(60)
    cluster.kill(1)
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "transactional.id": "survivor"})
    producer.init_transactions(60)
    for value, ends in ((b"kept", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce("survives", value)
        ends(60)
    cluster.restart(1)
    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["survives"])
    read = consumer.consume(1, 60)
    consumer.close()
    assert [message.value() for message in read] == [b"kept"]
    assert repr(cluster).endswith("3 of 3 nodes>")


def test_the_registry_speaks_the_confluent_api(registry_url: str) -> None:
    """A schema registered over HTTP comes back by its id."""
    schema = json.dumps({"type": "record", "name": "Ping", "fields": []})
    request = urllib.request.Request(
        f"{registry_url}/subjects/ping-value/versions",
        data=json.dumps({"schema": schema}).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        number = json.load(reply)["id"]
    with urllib.request.urlopen(f"{registry_url}/schemas/ids/{number}", timeout=30) as reply:
        assert json.loads(json.load(reply)["schema"]) == json.loads(schema)


def test_a_file_that_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    """Another content than the lock's hash is named, refused and removed."""
    artifact = fetch.artifacts()[0]
    forged = tmp_path / artifact.file
    forged.write_bytes(b"not the jar")
    with pytest.raises(fetch.Tampered, match="removed; fetch again"):
        fetch.check(artifact, forged)
    assert not forged.exists()


def test_no_cluster_id_looks_like_an_option() -> None:
    """One random id in 64 began with a dash, and the storage was not made."""
    ids = {broker._cluster_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert not any(each.startswith("-") or len(each) != 22 for each in ids)
