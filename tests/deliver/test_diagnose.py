"""The way on which a platform is asked what became of a request: the key that stands in the file now is used."""

import asyncio
from pathlib import Path

from consumer.clock import SystemClock
from consumer.deliver.checks import Ground, topics_of
from consumer.deliver.credentials import TokenFile
from consumer.deliver.diagnose import _Line
from consumer.deliver.http import Http
from consumer.deliver.setup import account_of, platform_of, wants_of
from consumer.emulators.platforms import STAND_INS, EmulatorThread
from consumer.settings import Destination

GOOGLE = STAND_INS["google"]


def test_a_key_that_was_replaced_is_used(tmp_path: Path) -> None:
    """Diagnoses go on after the key file has changed, as deliveries do."""
    key = tmp_path / "key.json"
    key.write_text("no key")
    with EmulatorThread(["google"], tokens={"google": GOOGLE.secret()}) as served:
        destination = Destination(
            name="google",
            platform="google",
            account=GOOGLE.account,
            token_file=key,
            base_url=served.urls["google"],
            actions={"purchase": GOOGLE.actions["purchase"]},
        )
        platform, token_file = platform_of(destination), TokenFile("google", key)
        assert platform.diagnosis is not None
        wants = wants_of(destination, platform, account_of(destination, platform, token_file.token))
        ground = Ground(topics_of("capi", "google"), platform, token_file, wants, 1, 1_000_000)
        line = _Line(destination, ground, platform.diagnosis, SystemClock())

        async def codes() -> list[object]:
            async with Http(SystemClock()) as http:
                before = await line.ask(http, "none-of-googles")
                key.write_text(served.credentials["google"])
                after = await line.ask(http, "none-of-googles")
            return [getattr(each, "code", each) for each in (before, after)]

        assert asyncio.run(codes()) == ["key_file", "INVALID_REQUEST_ID"]
