"""Ingest as the settings have it: its mapping is checked against the newest schemas before anything is read."""

import structlog

from consumer.errors import Unreachable
from consumer.ingest.decode import Ingest, check_mapping, mappings_of
from consumer.kafka.registry import SchemaStore
from consumer.settings import Settings

_LOG = structlog.get_logger("ingest")


def checked_ingest(settings: Settings, store: SchemaStore) -> Ingest:
    """The ingest of a process. Raises ConfigurationError if the mapping fits the newest schemas no more, and Refused.

    A registry that is silent, or has no such subject yet, keeps nothing from starting: every schema is checked again
    when a record first has it, and then its records become letters.
    """
    mappings = mappings_of(settings.mapping)
    for kind, topic in (("order", settings.topics.orders), ("checkout", settings.topics.checkouts)):
        if kind not in mappings:
            continue
        subject = f"{topic}-value"
        try:
            latest = store.latest(subject)
        except Unreachable:
            latest = None
        if latest is None:
            _LOG.warning("mapping_unchecked", topic=topic)
        else:
            check_mapping(mappings, kind, latest.schema_json, f"{subject} version {latest.version}")
    return Ingest(store.schema, mappings)
