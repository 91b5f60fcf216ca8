"""One file a platform: what it takes, how it is told, what its replies mean. A file that has a `PLATFORM` is one."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules

from consumer.platforms.contract import Platform


def _found() -> Iterator[Platform]:
    for module in iter_modules(__path__, f"{__name__}."):
        platform = getattr(import_module(module.name), "PLATFORM", None)
        if isinstance(platform, Platform):
            yield platform


PLATFORMS: Mapping[str, Platform] = {each.name: each for each in _found()}
