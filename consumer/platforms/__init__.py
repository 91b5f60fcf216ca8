"""One file a platform: what it takes, how it is told, what its replies mean."""

from collections.abc import Mapping

from consumer.platforms import meta
from consumer.platforms.contract import Platform

PLATFORMS: Mapping[str, Platform] = {each.name: each for each in (meta.PLATFORM,)}
