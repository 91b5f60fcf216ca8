"""A replay that is carried out: told of in the audit topic before its first record, and at its end."""

from collections import Counter
from collections.abc import Sequence

from consumer.clock import Clock
from consumer.deadletter import audit
from consumer.deadletter.audit import Deed, Entry
from consumer.kafka.writer import TransactionalWriter
from consumer.replay.plan import Going
from consumer.replay.send import OnSent, send
from consumer.settings import Settings

REPLAY = "dlq replay"
BEGINS, ENDS = "begins", "ends"


def carry_out(
    settings: Settings,
    writer: TransactionalWriter,
    going: Sequence[Going],
    deed: Deed,
    replay_id: str,
    rate_per_s: int,
    on_sent: OnSent,
    clock: Clock,
) -> None:
    """Send them; `deed.reason` is of no account. Raises Stopped, and Unreachable if it can't be told of."""
    if not going:
        return
    topic, sent = f"{settings.topics.prefix}.audit", 0

    def note(count: int) -> None:
        nonlocal sent
        sent = count
        on_sent(count)

    named = [audit.named(each.letter) for each in going]
    begins = Deed(deed.command, deed.by, deed.at_ms, deed.filter, f"{BEGINS} {replay_id}")
    audit.write(settings.kafka, topic, audit.entries(begins, named))
    try:
        send(writer, going, replay_id, rate_per_s, note)
    finally:
        counts = Counter(each.letter.reason for each in going[:sent])
        ends = Entry(
            deed.command,
            deed.by,
            clock.now_ms(),
            deed.filter,
            f"{ENDS} {replay_id}",
            counts=dict(sorted(counts.items())),
            letters={},
        )
        audit.write(settings.kafka, topic, [ends])
