"""Letters of all dead-letter topics, read in no group: nobody's position moves, and nothing is taken away."""

from collections.abc import Callable, Iterator, Mapping
from typing import Self, TypeAlias

from consumer.deadletter.audit import Discarded
from consumer.deadletter.filters import ALWAYS_MS, EVERY, Filter
from consumer.deadletter.read import Read, read
from consumer.errors import ConfigurationError
from consumer.kafka.reader import Reader
from consumer.kafka.spans import newest, records_in, spans_of
from consumer.kafka.topics import Topics
from consumer.model import Origin, Record, TopicPartition
from consumer.settings import Settings

TELL_EVERY = 1_000
TellsOf: TypeAlias = Callable[[Read, frozenset[str]], bool]
"""Whether a letter's value tells of one of these orders."""


class Letters:
    """The letters of a prefix; a context manager. All methods raise Unreachable and Refused.

    Of `to_see` offsets so many records were `seen`; `foreign` ones are no letters of ours. Letters that are meant and
    were `discarded` are left out unless asked for.
    """

    def __init__(
        self,
        settings: Settings,
        tells_of: TellsOf | None = None,
        *,
        with_discarded: bool = False,
        on_seen: "Callable[[Letters], object] | None" = None,
    ) -> None:
        """Find the topics, whatever platforms the settings have now. Raises ConfigurationError if there are none.

        `tells_of` is for filters that ask for orders; `on_seen` hears now and then how far reading is.
        """
        prefix = settings.topics.prefix
        found = Topics(settings.kafka).beginning_with(f"{prefix}.")
        self.topics = [name for name in found if name.startswith(f"{prefix}.dlq.")]
        if not self.topics:
            raise ConfigurationError(f"there is no topic {prefix}.dlq.…; make ours with `capi topics apply`")
        self._audit = f"{prefix}.audit"
        self.to_see = self.seen = self.foreign = self.discarded = 0
        self._tells_of = tells_of
        self._with_discarded = with_discarded
        self._on_seen = on_seen
        self._reader = Reader(settings.kafka, f"{prefix}.letters", eof=True)
        audits = [name for name in found if name == self._audit]
        self._has_audit = bool(audits)
        try:
            self._discarded = Discarded(records_in(self._reader, spans_of(self._reader, audits)))
        except BaseException:
            self._reader.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def scan(self, wanted: Filter = EVERY) -> Iterator[Read]:
        """Every letter that is meant, in order of offsets, one partition among the others."""
        take = self._taking(wanted)
        for record in records_in(self._reader, self._spans(wanted)):
            if (letter := take(record)) is not None:
                yield letter

    def newest(self, count: int, wanted: Filter = EVERY) -> list[Read]:
        """The newest letters that are meant, the newest first."""
        found = newest(self._reader, self._spans(wanted), count, self._taking(wanted))
        return found[::-1]

    def at(self, place: Origin) -> Read | Record | None:
        """A letter, a record that is none, or nothing. Raises ConfigurationError for a topic of no letters."""
        if place.topic not in self.topics:
            raise ConfigurationError(
                f"{place.topic} is no topic of letters; there are {', '.join(self.topics)}"
            )
        at = TopicPartition(place.topic, place.partition)
        first, end = spans_of(self._reader, [place.topic]).get(at, (0, 0))
        if not first <= place.offset < end:
            return None
        records = list(records_in(self._reader, {at: (place.offset, place.offset + 1)}))
        return next((read(record) or record for record in records), None)

    @property
    def audit(self) -> str:
        """The topic where it is told what is done to letters. Raises ConfigurationError if it isn't there."""
        if not self._has_audit:
            raise ConfigurationError(f"topic {self._audit} does not exist; make it with `capi topics apply`")
        return self._audit

    def is_discarded(self, letter: Read) -> bool:
        """Whether an operator has discarded this letter."""
        return self._discarded.holds(letter)

    def _spans(self, wanted: Filter) -> Mapping[TopicPartition, tuple[int, int]]:
        """Where letters of this time and these platforms lie."""
        spans = spans_of(self._reader, self._topics_of(wanted))
        if wanted.since_ms > 0:
            since = self._reader.offsets_at(spans, wanted.since_ms)
            spans = {at: (max(first, since[at]), end) for at, (first, end) in spans.items()}
        if wanted.until_ms < ALWAYS_MS:
            until = self._reader.offsets_at(spans, wanted.until_ms)
            spans = {at: (first, min(end, until[at])) for at, (first, end) in spans.items()}
        self.to_see = sum(max(0, end - first) for first, end in spans.values())
        return spans

    def _topics_of(self, wanted: Filter) -> list[str]:
        platforms = wanted.wanted.get("platform")
        if platforms is None:
            return self.topics
        return [name for name in self.topics if name.rpartition(".dlq.")[2] in platforms]

    def _taking(self, wanted: Filter) -> Callable[[Record], Read | None]:
        """What a record is, if it is meant."""

        def take(record: Record) -> Read | None:
            self.seen += 1
            if self._on_seen is not None and self.seen % TELL_EVERY == 0:
                self._on_seen(self)
            letter = read(record)
            if letter is None:
                self.foreign += 1
                return None
            if not wanted.holds(letter) or not self._is_of(letter, wanted.orders):
                return None
            is_discarded = self._discarded.holds(letter)
            self.discarded += is_discarded
            return letter if self._with_discarded or not is_discarded else None

        return take

    def _is_of(self, letter: Read, orders: frozenset[str]) -> bool:
        return not orders or (self._tells_of is not None and self._tells_of(letter, orders))

    def __repr__(self) -> str:
        return f"<Letters of {len(self.topics)} topics: {self.seen} seen, {self.foreign} foreign>"
