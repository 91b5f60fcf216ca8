"""`capi dlq` on a real cluster: what a data team sees of letters, and that it sees no person in them."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from typer.testing import CliRunner, Result

from consumer.cli import app
from consumer.codec import Encoder, load_schema, schemas_dir
from consumer.deadletter.letter import Attempt, Letter, ingest_letter, letter
from consumer.emulators.registry import RegistryThread
from consumer.errors import CapiError, ConfigurationError
from consumer.kafka.registry import SchemaStore
from consumer.kafka.tail import tail
from consumer.kafka.topics import Topics, specs
from consumer.kafka.writer import Writer
from consumer.model import Record
from consumer.settings import Settings, load

PEOPLE = {
    "customer_id": "kunde-kanari-42",
    "email": "zsofi.kanari@people.example",
    "phone": "+49 171 3920177",
    "first_name": "Zsofikanari",
    "last_name": "Quetzalovic",
    "gender": "nonbinary",
    "date_of_birth": "1977-07-17",
}
ADDRESS = {
    "street": "Nachtigallenweg 4711",
    "city": "Kanarienstadt",
    "region": "Kanarien",
    "postal_code": "98765-kan",
    "country": "DE",
}
BROWSER = {
    "ip": "198.51.100.77",
    "user_agent": "KanariBrowser/1.0",
    "page_url": "https://shop.example/?m=zsofi",
}
CANARIES = (
    *(text.lower() for text in (*PEOPLE.values(), *ADDRESS.values(), *BROWSER.values()) if text != "DE"),
    *("zsofi", "kanari", "3920177", "nachtigall", "quetzal", "198.51.100"),
)
FOREIGN = Letter(
    PEOPLE["email"].encode(), b"zsofi", (("zsofi", b"kanari"), ("dlq.reason", PEOPLE["email"].encode()))
)


class Desk:
    """A prefix with its topics, letters written to them, and the command line of its settings."""

    def __init__(self, bootstrap: str, registry_url: str, prefix: str, folder: Path) -> None:
        self.prefix, self.folder = prefix, folder
        self.file = folder / "capi.yaml"
        destinations = [
            {"name": f"{platform}-eu", "platform": platform, "account": "1", "token_file": "token"}
            for platform in ("meta", "ga4")
        ]
        values = {
            "kafka": {"bootstrap_servers": bootstrap},
            "registry": {"url": registry_url, "cache_dir": str(folder / "schemas"), "timeout_s": 2},
            "topics": {"prefix": prefix},
            "destinations": destinations,
        }
        self.file.write_text(yaml.safe_dump(values))
        self.settings: Settings = load(self.file)
        Topics(self.settings.kafka).apply(specs(self.settings, 2), 1)
        with closing(SchemaStore(self.settings.registry)) as store:
            ids = {
                kind: store.register(f"{prefix}-{kind}", load_schema(kind))
                for kind in ("order", "conversion")
            }
        self._order: Encoder[dict[str, object]] = Encoder(load_schema("order"), ids["order"])
        self._conversion: Encoder[dict[str, object]] = Encoder(load_schema("conversion"), ids["conversion"])

    def order(self, number: int, reason: str, **fields: object) -> Letter:
        """Of an order full of people, whose shop keys its orders by e-mail."""
        value = self._order({**_example("order", "typical"), **_people(), "order_id": str(number), **fields})
        record = Record("orders", 0, number, 0, PEOPLE["email"].encode(), value)
        return ingest_letter(record, reason, "grand_total_minor is negative", 1_795_521_700_000, 8_000)

    def conversion(self, number: int, platform: str = "meta", reason: str = "rejected") -> Letter:
        """Of a conversion with all that a conversion may have of people."""
        told = {"city": ADDRESS["city"], "region": ADDRESS["region"], "postal_code": ADDRESS["postal_code"]}
        fields = {**_example("conversion", "everything"), **BROWSER, **told, "order_id": str(number)}
        attempt = Attempt(
            f"{platform}-eu",
            platform,
            f"purchase:{number}",
            "100",
            400,
            2,
            1_795_521_696_000,
            1_795_521_700_000,
        )
        value = self._conversion({**fields, "event_id": f"purchase:{number}"})
        record = Record(f"{self.prefix}.conversions", 1, number, 0, str(number).encode(), value)
        return letter(record, "deliver", reason, "the value is not taken", attempt)

    def cut(self) -> Letter:
        """Too large for its topic."""
        value = self._order({**_example("order", "typical"), **_people()})
        record = Record("orders", 0, 99, 0, PEOPLE["email"].encode(), value)
        return ingest_letter(record, "too_large", "it is too large", 1_795_521_700_000, 1_200)

    def write(self, of: str, letters: Iterable[Letter]) -> None:
        """Write them to `<prefix>.dlq.<of>`."""
        with closing(Writer(self.settings.kafka)) as writer:
            for each in letters:
                writer.produce(f"{self.prefix}.dlq.{of}", each.value, key=each.key, headers=each.headers)
                writer.flush(30)
                time.sleep(0.003)  # the broker's clock counts milliseconds

    def capi(self, *words: str) -> Result:
        """What a command says; an error of ours comes as it is."""
        return CliRunner().invoke(app, ["dlq", *words, "--config", str(self.file)])

    def ok(self, *words: str) -> Result:
        """The same, and it went well."""
        done = self.capi(*words)
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done

    def told(self, *words: str) -> dict[str, Any]:
        """What it says as JSON."""
        said: dict[str, Any] = json.loads(self.ok(*words, "-o", "json").stdout)
        return said

    def refused(self, *words: str) -> CapiError:
        """The error of ours that ends it."""
        done = self.capi(*words)
        assert isinstance(done.exception, CapiError), (words, done.output, done.exception)
        return done.exception

    def __repr__(self) -> str:
        return f"<Desk {self.prefix}>"


def _example(kind: str, name: str) -> dict[str, object]:
    told: dict[str, object] = json.loads((schemas_dir() / kind / "examples" / f"{name}.json").read_bytes())
    return told


def _people() -> dict[str, object]:
    return {"customer": PEOPLE, "billing_address": ADDRESS, "shipping_address": ADDRESS}


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryThread]:
    """The registry's stand-in."""
    with RegistryThread() as running:
        yield running


@pytest.fixture
def desk(bootstrap: str, registry: RegistryThread, prefix: str, tmp_path: Path) -> Desk:
    """Three topics of letters, with records of others in two of them."""
    return filled(Desk(bootstrap, registry.url, prefix, tmp_path))


def filled(desk: Desk) -> Desk:
    """The same, with letters."""
    desk.write("ingest", [desk.order(1, "bad_money"), FOREIGN, desk.order(2, "bad_time"), desk.cut()])
    desk.write("meta", [Letter(None, None, ()), desk.conversion(3), desk.conversion(4, reason="expired")])
    desk.write("ga4", [desk.conversion(3, "ga4"), desk.conversion(5, "ga4")])
    return desk


def test_letters_are_listed_newest_first(desk: Desk) -> None:
    """As many as asked for, of all topics, with what was passed over told apart."""
    said = desk.ok("list", "--last", "3")
    head, *rows = said.stdout.splitlines()
    assert head.split() == ["written", "letter", "reason", "fault", "destination", "code", "event", "id"]
    assert [row.split()[1].removeprefix(desk.prefix) for row in rows] == [
        ".dlq.ga4:0:1",
        ".dlq.ga4:0:0",
        ".dlq.meta:0:2",
    ]
    assert rows[2].split()[2:] == ["expired", "platform", "meta-eu", "100", "purchase:4"]
    assert said.stderr == "2 records are no letters of ours.\n"
    told = desk.told("list", "fault=shop")
    assert [each["reason"] for each in told["letters"]] == ["too_large", "bad_time", "bad_money"]
    assert (told["foreign"], told["discarded"]) == (2, 0)
    assert told["letters"][0]["truncated"].startswith("key=27 value=")


def test_letters_of_an_order_are_listed_at_every_platform(desk: Desk) -> None:
    """By the order's id, whatever stage its letters are of."""
    assert [each["topic"][-4:] for each in desk.told("list", "order=3")["letters"]] == [".ga4", "meta"]
    assert [each["reason"] for each in desk.told("list", "order=2")["letters"]] == ["bad_time"]


def test_letters_are_counted_by_cause(desk: Desk) -> None:
    """One row a cause, the largest first, with a letter to open as an example."""
    told = desk.told("groups")
    counts = [(each["reason"], each["destination"], each["letters"]) for each in told["groups"]]
    assert counts[0] == ("rejected", "ga4-eu", 2)
    assert sorted(counts[1:]) == [
        ("bad_money", "", 1),
        ("bad_time", "", 1),
        ("expired", "meta-eu", 1),
        ("rejected", "meta-eu", 1),
        ("too_large", "", 1),
    ]
    (one,) = desk.told("groups", "destination=ga4-eu", "--by", "hour")["groups"]
    assert one["hour"].endswith(":00:00.000Z")
    assert one["example"] == f"{desk.prefix}.dlq.ga4:0:1"
    said = desk.ok("groups", "stage=ingest")
    assert said.stdout.splitlines()[0].split()[:3] == ["letters", "reason", "fault"]
    assert len(said.stdout.splitlines()) == 4


def test_a_filter_that_matches_nothing_says_so(desk: Desk) -> None:
    """It is no error, and there is nothing on stdout."""
    for words in (("list",), ("groups",), ("export",), ("discard",)):
        said = desk.ok(*words, "reason=no_currency")
        assert said.stdout == "", words
        assert "No letter matches." in said.stderr or "0 letters are written" in said.stderr, words
    assert desk.told("list", "reason=no_currency")["letters"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "reason=bad_mony"), "did you mean bad_money?"),
        (("groups", "platformm=meta"), "did you mean platform?"),
        (("export", "since=soon"), "write 90s, 30m, 24h"),
        (("export", "--format", "parquet"), "name one with --file"),
        (("show", "capi.dlq.meta"), "write it as capi.dlq.meta:0:12"),
        (("discard", "reason=expired", "--execute"), "add --reason TEXT"),
        (("discard", "--execute", "--reason", "all"), "name at least one"),
    ],
)
def test_what_is_mistyped_is_a_usage_error(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the nearest that is known, or what to write; no cluster is asked."""
    monkeypatch.delenv("CAPI_CONFIG", raising=False)
    done = CliRunner().invoke(app, ["dlq", *words])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_a_destination_or_a_topic_that_is_not_there_is_told_with_the_nearest(desk: Desk) -> None:
    """A matter of the settings: exit code 78."""
    error = desk.refused("list", "destination=meta-us")
    assert isinstance(error, ConfigurationError)
    assert "did you mean meta-eu?" in str(error)
    error = desk.refused("show", f"{desk.prefix}.dlq.tiktok:0:0")
    assert error.exit_code == 78
    assert f"{desk.prefix}.dlq.meta" in str(error)


def test_a_letter_is_opened_in_plain_words(desk: Desk) -> None:
    """What it means, whose fault it is, what to do; the value by its fields."""
    said = desk.ok("show", f"{desk.prefix}.dlq.meta:0:1").stdout
    for line in (
        f"  record: {desk.prefix}.conversions:1:3",
        "  reason: rejected. The platform refused this event for good.",
        "  said: the value is not taken",
        "  fault: platform, the platform's answer, or its silence",
        "  destination: meta-eu (meta)",
        "  event id: purchase:3",
        "    order_id: 3",
        "    country: US",
        "    ip: ****",
        "    identity.email: ****",
    ):
        assert line in said.splitlines(), line
    assert "tried: 2 times, from 2026-11-24T12:01:36.000Z" in said
    assert "what to do: Look the code up" in said
    told = desk.told("show", f"{desk.prefix}.dlq.ingest:0:0")
    assert told["letter"]["reason"] == "bad_money"
    assert told["value"]["kind"] == "order"
    assert told["value"]["fields"]["grand_total_minor"] == 18643
    assert told["value"]["fields"]["customer"]["email"] == "****"
    assert told["value"]["key"] == "****"


def test_what_cannot_be_opened_is_told(desk: Desk) -> None:
    """Cut, no letter of ours, or not there: sizes and why."""
    place = f"{desk.prefix}.dlq.ingest:0"
    cut = desk.ok("show", f"{place}:3").stdout
    assert "which can't be shown: the letter is cut; the record had key=27 value=" in cut
    foreign = desk.ok("show", f"{place}:1").stdout
    assert foreign == f"{place}:1 is no letter of ours: 2 headers, a key of 27 bytes, a value of 5 bytes\n"
    assert "no letter of ours" in desk.told("show", f"{place}:1")["foreign"]
    error = desk.refused("show", f"{place}:77")
    assert (error.exit_code, "there is no letter at" in str(error)) == (1, True)


def test_letters_are_opened_while_the_registry_is_down(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """Headers as ever; a conversion by our own schema, and of an order its size and why there is no more."""
    with RegistryThread() as registry:
        desk = filled(Desk(bootstrap, registry.url, prefix, tmp_path))
    for file in (tmp_path / "schemas").rglob("*"):
        if file.is_file():
            file.unlink()
    said = desk.ok("show", f"{desk.prefix}.dlq.ingest:0:0").stdout
    assert "  reason: bad_money. An amount can't be read exactly" in said
    assert "bytes, which can't be shown: schema" in said
    assert "the registry doesn't answer, or doesn't know it" in said
    ours = desk.ok("show", f"{desk.prefix}.dlq.meta:0:1").stdout
    assert "by our newest schema: the registry does not give schema" in ours
    assert "    order_id: 3" in ours.splitlines()


def test_letters_are_taken_out_as_files(desk: Desk) -> None:
    """Lines of JSON or a table, the same letters in both; lines go to stdout where no file is named."""
    lines, table = desk.folder / "letters.ndjson", desk.folder / "letters.parquet"
    assert "7 letters are written" in desk.ok("export", "--file", str(lines)).stderr
    desk.ok("export", "--file", str(table), "--format", "parquet")
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    assert sorted(each["reason"] for each in told) == sorted(
        ["bad_money", "bad_time", "too_large", "rejected", "expired", "rejected", "rejected"]
    )
    assert {each["kind"] for each in told} == {"order", "conversion", ""}
    with duckdb.connect() as db:
        count = db.read_parquet(str(table)).aggregate("reason, count(*) AS letters").fetchall()
    assert dict(count) == {"bad_money": 1, "bad_time": 1, "too_large": 1, "rejected": 3, "expired": 1}
    piped = desk.ok("export", "reason=expired").stdout.splitlines()
    assert [json.loads(line)["event_id"] for line in piped] == ["purchase:4"]


def test_letters_are_discarded_once_somebody_says_why(desk: Desk) -> None:
    """Nothing happens without --execute; then they are left out, unless asked for, and the audit topic says why."""
    meant = ("reason=rejected", "destination=ga4-eu")
    dry = desk.ok("discard", *meant)
    assert dry.stdout == "rejected: 2\n"
    assert "nothing is changed without --execute" in dry.stderr
    assert len(desk.told("list")["letters"]) == 7
    assert tail(desk.settings.kafka, f"{desk.prefix}.audit", 9) == []

    done = desk.told("discard", *meant, "--execute", "--reason", "a test shop's", "--by", "anna")
    assert done == {"executed": True, "letters": 2, "counts": {"rejected": 2}}
    (entry,) = tail(desk.settings.kafka, f"{desk.prefix}.audit", 9)
    audited = json.loads(entry.value or b"")
    assert entry.key == b"dlq discard"
    assert audited.pop("at_ms") > 1_700_000_000_000
    assert audited == {
        "command": "dlq discard",
        "by": "anna",
        "filter": ["reason=rejected", "destination=ga4-eu"],
        "reason": "a test shop's",
        "counts": {"rejected": 2},
        "letters": {f"{desk.prefix}.dlq.ga4:0": [[0, 1]]},
        "part": 1,
        "parts": 1,
    }

    assert len(desk.told("list")["letters"]) == 5
    assert "2 letters were discarded; --all shows them." in desk.ok("groups").stderr
    shown = desk.told("list", "platform=ga4", "--all")["letters"]
    assert [each["discarded"] for each in shown] == [True, True]
    assert "rejected (discarded)" in desk.ok("list", "--all").stdout
    assert "discarded" in desk.ok("show", f"{desk.prefix}.dlq.ga4:0:0").stdout.splitlines()[0]
    again = desk.ok("discard", *meant, "--execute", "--reason", "again")
    assert "No letter matches." in again.stderr
    assert len(tail(desk.settings.kafka, f"{desk.prefix}.audit", 9)) == 1


def test_who_discards_is_the_login_unless_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without a name for its user, somebody must be named."""
    monkeypatch.setattr("getpass.getuser", lambda: "login-name")
    desk.ok("discard", "order=3", "--execute", "--reason", "why")
    (entry,) = tail(desk.settings.kafka, f"{desk.prefix}.audit", 9)
    assert json.loads(entry.value or b"")["by"] == "login-name"

    def nobody() -> str:
        raise OSError

    monkeypatch.setattr("getpass.getuser", nobody)
    done = desk.capi("discard", "reason=expired", "--execute", "--reason", "why")
    assert (done.exit_code, "--by NAME" in done.stderr) == (2, True)


def test_no_person_is_in_anything_that_is_said(desk: Desk) -> None:
    """Whatever command, whatever form, also of records that are no letters, in files, on stderr and in the audit."""
    lines, table = desk.folder / "canary.ndjson", desk.folder / "canary.parquet"
    places = [
        f"{each['topic']}:{each['partition']}:{each['offset']}" for each in desk.told("list")["letters"]
    ]
    places += [f"{desk.prefix}.dlq.ingest:0:1", f"{desk.prefix}.dlq.meta:0:0"]
    asked: list[tuple[str, ...]] = [
        *(("show", place, *form) for place in places for form in ((), ("-o", "json"))),
        *((name, *form) for name in ("list", "groups") for form in ((), ("-o", "json"), ("--all",))),
        ("export",),
        ("export", "--file", str(lines)),
        ("export", "--file", str(table), "--format", "parquet"),
        ("discard", "stage=ingest", "--execute", "--reason", "why", "--by", "me"),
    ]
    said = {words: (done := desk.ok(*words)).stdout + done.stderr for words in asked}
    with duckdb.connect() as db:
        said["parquet",] = str(db.read_parquet(str(table)).fetchall())
    said["ndjson",] = lines.read_text()
    said["audit",] = str([record.value for record in tail(desk.settings.kafka, f"{desk.prefix}.audit", 9)])
    found = {words: [each for each in CANARIES if each in text.lower()] for words, text in said.items()}
    assert {words: canaries for words, canaries in found.items() if canaries} == {}
    raw = str([record.value for record in tail(desk.settings.kafka, f"{desk.prefix}.dlq.ingest", 9)]).lower()
    assert all(
        each in raw
        for each in CANARIES
        if each not in {text.lower() for text in BROWSER.values()} | {"198.51.100"}
    )
