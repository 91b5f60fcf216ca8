"""What must be so before a destination is served. Each refusal says what to do."""

from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from consumer.deliver.credentials import TokenFile
from consumer.deliver.route import Wants
from consumer.deliver.setup import account_of, platform_of, wants_of
from consumer.errors import ConfigurationError
from consumer.kafka import limits
from consumer.platforms.contract import Account, Platform
from consumer.settings import Destination, Settings


class Topics(Struct, frozen=True):
    """Names of the topics that one destination reads and writes."""

    conversions: str
    receipts: str
    letters: str
    later: str
    replay: str
    control: str

    @property
    def read(self) -> list[str]:
        """Those that the destination's group reads."""
        return [self.conversions, self.later, self.replay]


class Ground(Struct, frozen=True):
    """What was found of the cluster and of the destination's own things."""

    topics: Topics
    platform: Platform
    token_file: TokenFile
    wants: Wants
    partitions: int
    letter_max_bytes: int


def topics_of(prefix: str, platform: str) -> Topics:
    """The names that the prefix makes."""
    return Topics(
        conversions=f"{prefix}.conversions",
        receipts=f"{prefix}.receipts",
        letters=f"{prefix}.dlq.{platform}",
        later=f"{prefix}.later",
        replay=f"{prefix}.replay",
        control=f"{prefix}.control",
    )


def check_files(settings: Settings) -> None:
    """Look at what needs no connection: platforms, accounts and token files. Raises ConfigurationError."""
    for destination in settings.destinations:
        platform = platform_of(destination)
        token = TokenFile(destination.name, destination.token_file).token
        wants_of(destination, platform, account_of(destination, platform, token))


def check(settings: Settings, destination: Destination) -> Ground:
    """Look at one destination and the topics that it needs. Raises ConfigurationError, Unreachable, Refused."""
    platform = platform_of(destination)
    token_file = TokenFile(destination.name, destination.token_file)
    wants = wants_of(destination, platform, account_of(destination, platform, token_file.token))
    topics = topics_of(settings.topics.prefix, destination.platform)
    found = check_topics(settings, [topics])
    return Ground(
        topics=topics,
        platform=platform,
        token_file=token_file,
        wants=wants,
        partitions=found[topics.conversions].partitions,
        letter_max_bytes=found[topics.letters].max_message_bytes,
    )


def check_topics(settings: Settings, topics: Sequence[Topics]) -> Mapping[str, limits.TopicLimits]:
    """Look at all topics of some destinations, asking once. Raises ConfigurationError, Unreachable, Refused."""
    wanted = {name for each in topics for name in structs.astuple(each)}
    found = limits.ask(settings.kafka, sorted(wanted)).topics
    for each in topics:
        _check_equal({name: found[name].partitions for name in (each.conversions, each.later, each.replay)})
    return found


def _check_equal(partitions: Mapping[str, int]) -> None:
    if len(set(partitions.values())) > 1:
        told = ", ".join(f"{topic} has {count}" for topic, count in partitions.items())
        message = (
            f"{told} partitions: they must have equally many, or a refund overtakes its purchase; make those that "
            "differ from the first anew with `capi topics apply`"
        )
        raise ConfigurationError(message)


def account_now(destination: Destination, ground: Ground) -> Account:
    """Whose events they are, with the token as it was last read."""
    return account_of(destination, ground.platform, ground.token_file.token)
