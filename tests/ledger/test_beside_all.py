"""A shop's orders through all roles of one process, the ledger among them."""

from collections.abc import Callable

from msgspec import json

from tests.broker.dispatch import Dispatch, Emulated
from tests.ledger.beside import conservation

ORDERS = 60


def test_every_eligible_order_of_a_shop_has_a_story(open_dispatch: Callable[..., Dispatch]) -> None:
    """From its record in the shop's topic to what the platform said; one process runs it all."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta", meta, events=["purchase"])
        dispatch.make_topics()
        truth = dispatch.folder / "truth.ndjson"
        settings = {"enabled": True, "dir": str(dispatch.folder / "ledger"), "judge_every_s": 1}
        config = str(dispatch.file("all", ledger=settings, join={"wait_s": 1}))
        sent = dispatch.run(
            *("traffic", "--seed", "5", "--orders", str(ORDERS), "--truth", str(truth), "--config", config),
            log="traffic",
        )
        assert sent.end() == 0, sent.tail
        told = [json.decode(line) for line in truth.read_bytes().splitlines()]
        wanted = {
            each["order_id"] for each in told if each["event"] == "purchase" and each["eligible"].get("meta")
        }
        with dispatch.run("run", "--config", config, log="all") as process:
            process.await_that(
                "all delivered",
                lambda: conservation(process).get("meta", {}).get("delivered", 0) >= len(wanted),
            )
            for order in sorted(wanted):
                status, body = process.get(f"/v1/why?order={order}")
                story = json.decode(body)
                fates = {
                    each["event"]: each["deliveries"][0]["fate"]
                    for each in story["conversions"]
                    if each["order_id"] == order
                }
                assert status == 200
                assert fates["purchase"] == "delivered"
                assert "conversion" in {each["ending"] for each in story["endings"]}
            account = conservation(process)["meta"]
            assert account["missing"] == 0
            assert account["holds"]
            process.stop()
