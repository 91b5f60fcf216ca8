"""What must be so before a destination is served. Each refusal says what to do."""

import difflib

from msgspec import Struct

from consumer.deliver.credentials import TokenFile
from consumer.errors import ConfigurationError
from consumer.kafka import limits
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Platform
from consumer.settings import Destination, Settings


class Topics(Struct, frozen=True):
    """Names of the topics that one destination reads and writes."""

    conversions: str
    receipts: str
    letters: str
    control: str


class Ground(Struct, frozen=True):
    """What was found of the cluster and of the destination's own things."""

    topics: Topics
    platform: Platform
    token_file: TokenFile
    partitions: int
    letter_max_bytes: int


def topics_of(prefix: str, platform: str) -> Topics:
    """The names that the prefix makes."""
    return Topics(
        conversions=f"{prefix}.conversions",
        receipts=f"{prefix}.receipts",
        letters=f"{prefix}.dlq.{platform}",
        control=f"{prefix}.control",
    )


def platform_of(destination: Destination) -> Platform:
    """The platform's file. Raises ConfigurationError, with the nearest name, if there is none."""
    platform = PLATFORMS.get(destination.platform)
    if platform is None:
        near = difflib.get_close_matches(destination.platform, list(PLATFORMS), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(PLATFORMS))}"
        message = f"destinations.{destination.name}.platform: {destination.platform!r} is not known; {hint}"
        raise ConfigurationError(message)
    return platform


def check_files(settings: Settings) -> None:
    """Look at what needs no connection: platforms and token files. Raises ConfigurationError."""
    for destination in settings.destinations:
        platform_of(destination)
        TokenFile(destination.name, destination.token_file)


def check(settings: Settings, destination: Destination) -> Ground:
    """Look at one destination and the topics that it needs. Raises ConfigurationError, Unreachable, Refused."""
    platform = platform_of(destination)
    token_file = TokenFile(destination.name, destination.token_file)
    topics = topics_of(settings.topics.prefix, destination.platform)
    wanted = (topics.conversions, topics.receipts, topics.letters, topics.control)
    found = limits.ask(settings.kafka, wanted).topics
    return Ground(
        topics=topics,
        platform=platform,
        token_file=token_file,
        partitions=found[topics.conversions].partitions,
        letter_max_bytes=found[topics.letters].max_message_bytes,
    )


def account_of(destination: Destination, ground: Ground) -> Account:
    """Whose events they are, with the token as it was last read."""
    return Account(
        base_url=(destination.base_url or ground.platform.base_url).rstrip("/"),
        account=destination.account,
        token=ground.token_file.token,
        test_event_code=destination.test_event_code,
    )
