"""Whether destinations could deliver: each thing that can be wrong is told in a line, over real sockets."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumer.codec import load_schema
from consumer.deliver.doctor import Finding, exit_code, kafka, registry, sample
from consumer.deliver.doctor import examine as examined
from consumer.deliver.preview import examples
from consumer.deliver.route import Wants
from consumer.emulators.platforms import STAND_INS, EmulatorThread, destination
from consumer.emulators.registry import RegistryThread
from consumer.kafka import limits
from consumer.kafka.registry import SchemaStore
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Secret
from consumer.settings import Settings

NOW_MS = 1_795_600_000_000
NOWHERE = "http://127.0.0.1:1"
COUNTING = [name for name, platform in PLATFORMS.items() if platform.probe and platform.probe.counts]
TRYING = [name for name, platform in PLATFORMS.items() if platform.probe and not platform.probe.counts]
GRANTING = [name for name in STAND_INS if PLATFORMS[name].grant is not None]


def settings(tmp_path: Path, *destinations: dict[str, object], **more: object) -> Settings:
    """Settings whose Kafka is wrong at once and whose registry is nowhere, so that no test waits for them."""
    return Settings.model_validate(
        {
            "kafka": {"extra": {"no.such.key": 1}},
            "registry": {"url": NOWHERE, "cache_dir": tmp_path / "schemas"},
            "destinations": destinations,
            **more,
        }
    )


class Ward:
    """Emulators, and destinations that lead to them."""

    def __init__(self, running: EmulatorThread, tmp_path: Path) -> None:
        self.running = running
        self._tmp_path = tmp_path

    def examine(
        self, name: str, *, token: str = "", send_test: bool = False, **changes: object
    ) -> dict[str, Finding]:
        """The findings on a platform's destination, by check. `token` is in its file in place of the right one."""
        token_file = self._tmp_path / f"{name}.token"
        token_file.write_text(token or self.running.credentials[name])
        told = {**destination(name, token_file, self.running.urls[name]), "request_timeout_s": 2, **changes}
        found = settings(self._tmp_path, told)
        findings = examined(found, found.destinations, send_test=send_test)
        assert [each.subject for each in findings[-2:]] == ["kafka", "registry"]
        assert not [each for each in findings if "\n" in each.says or not each.says]
        assert token_file.read_text() not in repr(findings)
        return {each.check: each for each in findings[:-2]}

    def events(self, name: str) -> int:
        """How many events a platform has kept."""
        with urllib.request.urlopen(f"{self.running.urls[name]}/_emulator/stats", timeout=10) as reply:
            return int(json.load(reply)["server"])

    def fault(self, name: str, **fault: object) -> None:
        """From now on a platform has it."""
        told = urllib.request.Request(
            f"{self.running.urls[name]}/_emulator/faults", orjson.dumps(fault), method="POST"
        )
        urllib.request.urlopen(told, timeout=10).close()


@pytest.fixture(name="ward")
def _ward(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ward]:
    """Of the platform that is the test's parameter, else of two that take a trial."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    with EmulatorThread([name] if name else ["pinterest", "snapchat"]) as running:
        yield Ward(running, tmp_path)


def states(findings: dict[str, Finding]) -> dict[str, str]:
    """What became of each check."""
    return {name: each.state for name, each in findings.items()}


@pytest.mark.parametrize("name", list(STAND_INS))
def test_what_is_right_is_told_so_and_leaves_nothing(ward: Ward, name: str) -> None:
    """Whatever the platform, it is told nothing that counts; where nothing else proves the credentials, it says so."""
    found, platform = ward.examine(name), PLATFORMS[name]
    access = ["access token"] if platform.grant else []
    assert list(found) == ["settings", "token file", "host", *access, "probe"]
    assert {each.state for check, each in found.items() if check != "probe"} == {"ok"}
    assert (found["probe"].state, exit_code(found.values())) == ("ok" if name in TRYING else "not checked", 0)
    assert ward.events(name) == 0
    if platform.probe is None:
        assert found["probe"].says == "this platform offers no way without side effects"


@pytest.mark.parametrize("name", [name for name in TRYING if name not in GRANTING])
def test_a_wrong_token_is_refused(ward: Ward, name: str) -> None:
    """Where a platform looks at it, and it says what the token file must hold."""
    found = ward.examine(name, token="wrong")  # noqa: S106 (it opens nothing)
    if not PLATFORMS[name].reports:
        assert states(found)["probe"] == "ok"
        return
    assert (found["probe"].state, found["probe"].exit_code) == ("failed", 77)
    assert PLATFORMS[name].setup.credentials in found["probe"].says


@pytest.mark.parametrize("name", GRANTING)
def test_credentials_that_no_token_is_given_for_are_told(ward: Ward, name: str) -> None:
    """A file of another form is a matter of settings, another's key is refused; without a token nothing is tried."""
    found = ward.examine(name, token="not JSON")  # noqa: S106 (it opens nothing)
    assert (found["token file"].exit_code, states(found)["access token"]) == (78, "not checked")
    stand_in = STAND_INS[name]
    url = json.loads(ward.running.credentials[name])["token_uri"].rpartition("/")[0]
    found = ward.examine(name, token=stand_in.credentials(stand_in.secret(), url))
    assert (found["token file"].state, found["access token"].exit_code) == ("ok", 77)
    assert states(found)["probe"] == "not checked"
    elsewhere = ward.running.credentials[name].replace(url, NOWHERE)
    assert ward.examine(name, token=elsewhere)["access token"].exit_code == 69


@pytest.mark.parametrize("name", COUNTING)
def test_what_may_count_is_sent_only_when_asked_for(ward: Ward, name: str) -> None:
    """Both the option and the code are needed; then one event is sent, and a wrong token is refused."""
    asked, coded = ward.examine(name, send_test=True), ward.examine(name, test_event_code="TEST42")
    assert {asked["probe"].state, coded["probe"].state} == {"not checked"}
    assert asked["probe"].says.endswith(f"give destinations.{name}.test_event_code")
    assert coded["probe"].says.endswith("give --send-test")
    assert ward.events(name) == 0
    wrong = ward.examine(name, token="wrong", send_test=True, test_event_code="TEST42")  # noqa: S106
    assert (wrong["probe"].exit_code, ward.events(name)) == (77, 0)
    assert states(ward.examine(name, send_test=True, test_event_code="TEST42"))["probe"] == "ok"
    assert ward.events(name) == 1


def test_wrong_settings_are_told_each(ward: Ward) -> None:
    """In one line; what doesn't hang on them is looked at all the same."""
    found = ward.examine("snapchat", account="x", options={"tset": "true"})
    assert (found["settings"].exit_code, states(found)["probe"]) == (78, "not checked")
    assert "destinations.snapchat.account does not have the form" in found["settings"].says
    assert "; destinations.snapchat.options.tset is not known" in found["settings"].says
    assert {found["token file"].state, found["host"].state} == {"ok"}
    found = ward.examine("snapchat", token_file="/nowhere/token")  # noqa: S106 (a path)
    assert (found["token file"].exit_code, states(found)["probe"]) == (78, "not checked")
    assert "destinations.snapchat.token_file" in found["token file"].says
    found = ward.examine("snapchat", platform="snapchet")
    assert (list(found), exit_code(found.values())) == (["settings"], 78)
    assert "did you mean snapchat?" in found["settings"].says


def test_a_host_that_gives_no_answer_is_told(ward: Ward) -> None:
    """Be it that nobody listens there, or that whoever does says nothing: within the destination's time-out."""
    found = ward.examine("pinterest", base_url=NOWHERE)
    assert (found["host"].exit_code, states(found)["probe"]) == (69, "not checked")
    assert "127.0.0.1:1 can't be connected to" in found["host"].says
    assert "destinations.pinterest.base_url" in found["host"].says
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "127.0.0.1:{1}".format(*silent.getsockname())
        found = ward.examine("pinterest", base_url=f"http://{address}", request_timeout_s=1)
    assert f"{address} took a request and gave no answer (timeout)" in found["host"].says
    assert exit_code(found.values()) == 69


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"kind": "status", "status": 503}, 69, "no judgement now (INVALID); try again"),
        ({"kind": "429"}, 69, "no judgement now (INVALID); try again"),
        ({"kind": "html", "status": 502}, 69, "no judgement now (http_502); try again"),
        ({"kind": "html", "status": 404}, 77, "is the address Snapchat's? (http_404)"),
        ({"kind": "status", "status": 400}, 1, "`capi preview --destination snapchat` shows it"),
    ],
)
def test_other_answers_are_told(ward: Ward, fault: dict[str, Any], code: int, says: str) -> None:
    """A platform that isn't well, another's page, an event that is refused: whatever answers is reachable."""
    ward.fault("snapchat", **fault)
    found = ward.examine("snapchat")
    assert (found["host"].state, found["probe"].exit_code) == ("ok", code)
    assert says in found["probe"].says


def test_a_destination_without_events_is_not_tried(ward: Ward) -> None:
    """There is nothing that it would be sent."""
    found = ward.examine("pinterest", events=["refund"])
    assert found["settings"].says.endswith("nothing")
    assert states(found)["probe"] == "not checked"


@pytest.mark.parametrize(
    ("codes", "worst"), [([], 0), ([0, 1], 1), ([1, 69], 69), ([69, 77, 0], 77), ([69, 78, 77, 1], 78)]
)
def test_the_gravest_counts(codes: list[int], worst: int) -> None:
    """Settings come before credentials, and these before what can't be reached."""
    assert exit_code(Finding("d", "c", "failed", "x", code) for code in codes) == worst


@pytest.mark.parametrize("name", [*COUNTING, *TRYING])
def test_a_made_up_event_is_nobodys(name: str) -> None:
    """No id of an example's is in it, so that it is taken for no order's; where it may count it is no purchase."""
    stand_in, platform = STAND_INS[name], PLATFORMS[name]
    account = Account(platform.base_url, stand_in.account, Secret("x"), stand_in.actions, stand_in.options)
    wants = Wants(frozenset(platform.events), account)
    purchase = examples(NOW_MS)[0]
    for with_money in (True, False):
        event = sample(platform, wants, NOW_MS, with_money=with_money)
        assert event is not None
        assert f"capi-doctor-{NOW_MS}".encode() in event
        assert f'"{purchase.order_id}"'.encode() not in event
        assert purchase.checkout_id.encode() not in event
        assert purchase.event_id.encode() not in event
        sale = platform.events.get("purchase")
        assert sale is None or (f'"{sale}"'.encode() in event) is with_money


def test_kafka_is_told_of_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong settings, and brokers that don't answer."""
    (found,) = kafka(settings(tmp_path), ())
    assert (found.state, found.exit_code) == ("failed", 78)
    assert "no.such.key" in found.says
    monkeypatch.setattr(limits, "ASK_TIMEOUT_S", 0.2)
    (found,) = kafka(settings(tmp_path, kafka={"bootstrap_servers": "127.0.0.1:1"}), ())
    assert (found.state, found.exit_code) == ("failed", 69)
    assert "kafka.bootstrap_servers" in found.says


def test_the_registry_is_told_of_in_a_line(tmp_path: Path) -> None:
    """What it has, or that it doesn't answer."""
    (found,) = registry(settings(tmp_path))
    assert (found.state, found.exit_code) == ("failed", 69)
    with RegistryThread() as running:
        told = settings(tmp_path, registry={"url": running.url, "cache_dir": tmp_path / "schemas"})
        assert registry(told)[0].says == "answers, and will be given capi.conversions-value at a start"
        SchemaStore(told.registry).register("capi.conversions-value", load_schema("conversion"))
        assert registry(told)[0].says == "answers, and has capi.conversions-value in version 1"
