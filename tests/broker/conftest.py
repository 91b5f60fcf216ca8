"""A shop on the real cluster; schemas from the registry's stand-in, which a contract holds to the real one."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from consumer.emulators.registry import RegistryThread
from tests.broker.dispatch import Dispatch
from tests.broker.shopfloor import ShopFloor


@pytest.fixture(scope="session")
def stand_in() -> Iterator[RegistryThread]:
    """The registry's stand-in."""
    with RegistryThread() as registry:
        yield registry


@pytest.fixture
def open_floor(
    bootstrap: str, stand_in: RegistryThread, prefix: str, tmp_path: Path
) -> Callable[..., ShopFloor]:
    """Opens a shop whose topics are made."""

    def make(partitions: int = 3, **wishes: Mapping[str, object]) -> ShopFloor:
        floor = ShopFloor(bootstrap, stand_in.url, prefix, tmp_path, partitions, **wishes)
        floor.make_topics()
        return floor

    return make


@pytest.fixture
def open_dispatch(
    bootstrap: str, stand_in: RegistryThread, prefix: str, tmp_path: Path
) -> Callable[..., Dispatch]:
    """Opens a place where conversions are written; its topics are made once its destinations are named."""

    def make(partitions: int = 3, **wishes: object) -> Dispatch:
        return Dispatch(bootstrap, stand_in.url, prefix, tmp_path, partitions, **wishes)

    return make
