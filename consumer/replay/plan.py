"""What becomes of each letter that is meant: it goes to its destination again, or stays, for a reason.

    of deliver ─► capi.replay, for the destination that failed alone
    of ingest ──► capi.ingest-replay; under another key than the shop's: capi.orders-by-checkout, as rekey would
    stays ──────► because of `STAYS`, or of what the destination's route says of it now, such as `too_old`

Of several letters of one delivery the newest counts, whether it is meant or not.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from consumer.deadletter.read import Read
from consumer.errors import SchemaUnavailable
from consumer.model import Headers, Origin

INGEST = ""
"""Stands where a destination would: what failed in ingest has none."""
DESTINATION = "capi.destination"
ORIGIN = "capi.origin"
REPLAY = "capi.replay_id"
LETTER = "capi.letter"
"""The place of the letter that a record was made of: so that it is known when it was sent again."""

STAYS: Mapping[str, str] = {
    "discarded": "an operator discarded it",
    "repeated": "a newer letter tells of the same delivery",
    "replaying": "it is on its way already: sent again, or put aside until its time comes",
    "delivered": "it was delivered since",
    "enriched": "enrich has read it again since, and made no letter of it",
    "no_destination": "the settings have no such destination any more",
    "not_started": "the group that would read it has no position yet: start the process first",
    "elsewhere": "it came from a topic or a partition that these settings don't read",
    "truncated": "the letter lacks bytes, and the record that it was made of is gone",
    "unreadable": "its bytes still can't be read, with the schemas and the mapping of now",
    "schema_unavailable": "the registry doesn't give its schema now",
    "too_large": "it is larger than the topic takes to which it would be sent",
    "too_old": "the platform doesn't take what happened so long ago",
    "consent": "the customer denied it: said with the conversion itself",
    "condition": "the destination's condition `when` still can't be decided for it",
    "incomplete": "it still lacks what the platform demands: it would be the same letter again",
}
"""Why letters stay; what a destination skips has the names of its own reasons."""
NOTHING_TO_DO = frozenset({"discarded", "repeated", "replaying", "delivered", "enriched"})
"""Nobody waits for these: what is wanted is done, or under way."""


class Delivery(NamedTuple):
    """What a letter is about: a record, and the destination for which it failed."""

    destination: str
    of: Origin


class Going(Struct, frozen=True, gc=False):
    """A letter that goes, and the record that it becomes; partition -1 follows the key."""

    letter: Read
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None


Judge: TypeAlias = Callable[[Read], Going | str]
"""What a destination says to a letter now: the record, or why it stays. May raise SchemaUnavailable."""


class Since(Struct, frozen=True):
    """What has happened since the letters were written.

    `under_way` is what lies before those who will read it, `read_again` the letters that enrich has read again;
    `started` names the destinations whose groups have positions.
    """

    under_way: Collection[Delivery] = frozenset()
    read_again: Collection[Origin] = frozenset()
    delivered: Collection[Delivery] = frozenset()
    started: Collection[str] = frozenset()


class Plan(Struct, frozen=True):
    """What goes, in the order of the conversions; how many stay, by destination and reason."""

    going: list[Going]
    staying: Mapping[str, Mapping[str, int]]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many go, by destination."""
        return Counter(each.letter.destination for each in self.going)

    @property
    def is_whole(self) -> bool:
        """Everything goes for which there is something to do."""
        return all(NOTHING_TO_DO.issuperset(reasons) for reasons in self.staying.values())

    def __repr__(self) -> str:
        return f"<Plan: {len(self.going)} go, {sum(sum(of.values()) for of in self.staying.values())} stay>"


class Newest:
    """The newest letter of each delivery, of all letters that there are."""

    def __init__(self) -> None:
        self._of: dict[Delivery, tuple[int, Origin]] = {}

    def add(self, letter: Read) -> None:
        """Look at one."""
        newest = self._of.get(delivery_of(letter))
        if newest is None or newest < _age(letter):
            self._of[delivery_of(letter)] = _age(letter)

    def is_newest(self, letter: Read) -> bool:
        """Whether no later one tells of the same."""
        return self._of[delivery_of(letter)] == _age(letter)

    def __repr__(self) -> str:
        return f"<Newest of {len(self._of)} deliveries>"


def _age(letter: Read) -> tuple[int, Origin]:
    return letter.timestamp_ms, letter.at


def delivery_of(letter: Read) -> Delivery:
    """What the letter is about."""
    return Delivery(INGEST if letter.stage == "ingest" else letter.destination, letter.of)


def plan(
    letters: Iterable[Read],
    newest: Newest,
    is_discarded: Callable[[Read], bool],
    since: Since,
    judges: Mapping[str, Judge],
) -> Plan:
    """Decide it for each. `judges` are by destination, with one for `INGEST`."""
    going: list[Going] = []
    staying: dict[str, Counter[str]] = {}
    for letter in letters:
        told = "discarded" if is_discarded(letter) else _told(letter, newest, since, judges)
        if isinstance(told, Going):
            going.append(told)
        else:
            staying.setdefault(delivery_of(letter).destination, Counter())[told] += 1
    going.sort(key=_order)
    return Plan(going, staying)


def _order(going: Going) -> tuple[str, int, int, str]:
    """As the conversions stand: no refund before its purchase."""
    of = going.letter.of
    return of.topic, of.partition, of.offset, going.letter.destination


def _told(letter: Read, newest: Newest, since: Since, judges: Mapping[str, Judge]) -> Going | str:
    if reason := _done(letter, newest, since, judges):
        return reason
    try:
        return judges[delivery_of(letter).destination](letter)
    except SchemaUnavailable:
        return "schema_unavailable"


def _done(letter: Read, newest: Newest, since: Since, judges: Mapping[str, Judge]) -> str:
    """Why nobody need look at the letter itself; "" if somebody must."""
    delivery = delivery_of(letter)
    reasons = {
        "repeated": not newest.is_newest(letter),
        "no_destination": delivery.destination not in judges,
        "replaying": delivery in since.under_way,
        "delivered": delivery in since.delivered,
        "enriched": letter.at in since.read_again,
        "not_started": delivery.destination not in since.started,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def headers_of(going: Going, replay_id: str) -> Headers:
    """The headers of its record."""
    told = {
        DESTINATION: going.letter.destination,
        ORIGIN: str(going.letter.of),
        REPLAY: replay_id,
        LETTER: str(going.letter.at),
    }
    return tuple((name, text.encode()) for name, text in told.items() if text)


def place_of(text: str) -> Origin | None:
    """A place as `Origin` writes it.

    >>> place_of("capi.dlq.meta:0:42")
    Origin(topic='capi.dlq.meta', partition=0, offset=42)
    """
    topic, _, offset = text.rpartition(":")
    topic, _, partition = topic.rpartition(":")
    if not topic or not all(each.isascii() and each.isdecimal() for each in (partition, offset)):
        return None
    return Origin(topic, int(partition), int(offset))
