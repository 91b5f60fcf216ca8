"""Dead-letter topics on a real cluster, and letters written to them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumer.deadletter.letter import Letter
from consumer.kafka.topics import Topics, specs
from consumer.kafka.writer import Writer
from consumer.settings import Destination, KafkaSettings, RegistrySettings, Settings, TopicSettings

Write = Callable[..., None]


@pytest.fixture
def settings(bootstrap: str, prefix: str, tmp_path: Path) -> Settings:
    """Settings with a destination at Meta and one at Google Analytics; the topics are there."""
    made = Settings(
        kafka=KafkaSettings(bootstrap_servers=bootstrap),
        registry=RegistrySettings(cache_dir=tmp_path / "schemas"),
        topics=TopicSettings(prefix=prefix),
        destinations=tuple(
            Destination(name=f"{platform}-eu", platform=platform, account="1", token_file=Path("token"))
            for platform in ("meta", "ga4")
        ),
    )
    Topics(made.kafka).apply(specs(made, 2), 1)
    return made


@pytest.fixture
def write(settings: Settings) -> Iterator[Write]:
    """Writes letters to the topic `<prefix>.dlq.<of>`, and waits for them."""
    with closing(Writer(settings.kafka)) as writer:

        def written(of: str, letters: Iterable[Letter], partition: int = 0) -> None:
            topic, offsets = f"{settings.topics.prefix}.dlq.{of}", list[int | None]()
            count = 0
            for letter in letters:
                count += 1
                writer.produce(
                    topic,
                    letter.value,
                    key=letter.key,
                    partition=partition,
                    headers=letter.headers,
                    on_delivered=offsets.append,
                )
            assert writer.flush(60) == 0
            assert len(offsets) == count
            assert None not in offsets

        yield written
