"""What a destination would be sent, without sending it."""

from typing import Any

import msgspec
import orjson
import pytest

from consumer.deliver.preview import examples, preview
from consumer.deliver.route import Wants
from consumer.deliver.when import When
from consumer.emulators.platforms import STAND_INS
from consumer.model import EventName
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Secret

NOW_MS = 1_795_600_000_000
TOKEN = "made-up-token"  # noqa: S105 (it opens nothing)
EVERY = frozenset(name.value for name in EventName)


def wants(platform: str, **changes: Any) -> Wants:  # noqa: ANN401 (a setting's value)
    """All of a platform's events, at the demo's account."""
    stand_in = STAND_INS[platform]
    account = Account(
        "https://p.example", stand_in.account, Secret(TOKEN), stand_in.actions, stand_in.options
    )
    return Wants(EVERY, account, **changes)


@pytest.mark.parametrize("name", list(PLATFORMS))
def test_examples_lack_nothing(name: str) -> None:
    """Each platform would be sent each event that it takes; no secret, IP address or user agent is shown."""
    told = examples(NOW_MS)
    assert {each.event_name for each in told} == EVERY
    for each in told:
        shown = preview(each, PLATFORMS[name], wants(name), NOW_MS)
        if each.event_name not in PLATFORMS[name].events:
            assert (shown.outcome, shown.reason) == ("skipped", f"no_{each.event_name}")
            continue
        assert shown.outcome == "sent", shown
        assert shown.request is not None
        text = msgspec.json.encode(shown).decode()
        assert not [secret for secret in (TOKEN, each.ip, each.user_agent) if secret in text]
        assert orjson.loads(bytes(shown.request.body))


def test_endings_are_told() -> None:
    """What isn't sent says why; a value rule shows in the body."""
    purchase = examples(NOW_MS)[0]
    replace, meta = msgspec.structs.replace, PLATFORMS["meta"]
    assert preview(purchase, meta, wants("meta", when=When('shop == "de"')), NOW_MS).reason == "when"
    unfit = preview(replace(purchase, identity={}, click_ids={}, ip=""), meta, wants("meta"), NOW_MS)
    assert (unfit.outcome, unfit.reason) == ("rejected", "no_identifiers")
    assert unfit.why
    late = replace(purchase, event_time=NOW_MS - 10 * 86_400_000)
    assert preview(late, meta, wants("meta"), NOW_MS).outcome == "skipped"
    late = replace(late, enriched_at=late.event_time)
    assert preview(late, meta, wants("meta"), NOW_MS).outcome == "expired"
    net = preview(purchase, meta, wants("meta", value="without_tax_and_shipping"), NOW_MS)
    assert net.request is not None
    body = orjson.loads(bytes(net.request.body))
    assert body["data"][0]["custom_data"]["value"] == 110.0
