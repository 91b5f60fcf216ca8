"""Customers' data and tokens, sought in all that the product writes, says and answers, in every form.

Made-up people with names of their own go through everything: enrich and deliver, letters of every kind, a park, broken
replies, the debug level, traces and metrics at a collector, state, caches, commands and errors.
"""

import time
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from consumer.demo.publish import Publisher
from consumer.emulators.registry import RegistryThread
from consumer.emulators.shop import Damage, Plan, Published, Truth, traffic
from consumer.kafka.writer import Writer
from consumer.state.store import Store
from tests.broker.dispatch import Dispatch, Emulated, Process, conversion
from tests.canaries import Listener, Search, Wire, spellings

PEOPLE = {
    "email": "Zsófi.Kanarienvogel+Ünique@mail.example.com",
    "phone": "+49 (171) 392-0177",
    "first_name": "Zsófikanari",
    "last_name": "Quetzálovič-Canary",
    "street": "Nachtigallen-Straße 4711b",
}
TOKENS = {"token": "EAAcanary+/Token_one-7f3a", "next token": "EAAcanary+/Token_two-9c5e"}
CANARIES = {**PEOPLE, **TOKENS}
SEED = 77
ORDERS = 120


@pytest.mark.parametrize("canary", CANARIES)
def test_the_search_finds_each_form(canary: str) -> None:
    """A canary is found within other bytes in every spelling and every form, wherever base64 began."""
    for spelling in spellings(canary, CANARIES[canary]):
        raw = spelling.encode()
        encoded = [b64encode(b"x" * before + raw + b"yz") for before in range(5)]
        escaped = [
            quote(spelling, safe="").encode(),
            msgspec.json.encode(spelling),
            raw.hex().upper().encode(),
        ]
        for shown in (raw, raw.upper(), spelling.encode("utf-16"), *encoded, *escaped):
            search = Search(CANARIES)
            search("here", b"\x00before" + shown + b"behind")
            assert search.found[canary] == {"here"}, (spelling, shown)


def people(record: Published) -> Published:
    """The same record of a canary person; pages carry the person in their addresses, as careless shops do."""
    if record.value is None:
        return record
    value: dict[str, Any] = dict(record.value)
    asked = quote(PEOPLE["email"])
    if value.get("customer"):
        told = {name: PEOPLE[name] for name in ("email", "phone", "first_name", "last_name")}
        value["customer"] = {**value["customer"], **told}
    for name in ("address", "billing_address", "shipping_address"):
        if value.get(name):
            value[name] = {**value[name], "street": PEOPLE["street"]}
    if value.get("browser"):
        page = f"https://shop.example/checkout?email={asked}&phone={quote(PEOPLE['phone'])}#{asked}"
        value["browser"] = {**value["browser"], "page_url": page, "referrer_url": page}
    return msgspec.structs.replace(record, value=value)


class Run:
    """One run with canaries, and the places where it left something."""

    def __init__(self, dispatch: Dispatch, meta: Emulated, search: Search) -> None:
        self.dispatch = dispatch
        self._meta = meta
        self._search = search

    def publish(self) -> list[Truth]:
        """The shop's traffic, and records that only careless shops write; what must come of the traffic."""
        plan = Plan(seed=SEED, orders=ORDERS, now_ms=int(time.time() * 1000))
        told = [each for each in traffic(plan) if getattr(each, "damage", None) is not Damage.UNKNOWN_SCHEMA]
        records = [people(each) for each in told if isinstance(each, Published)]
        paid = next(each for each in records if each.value and each.value.get("status") == "PAID")
        changes: list[dict[str, object]] = [
            {"currency": PEOPLE["email"]},
            {"status": PEOPLE["email"]},
            {"order_id": "", "status": PEOPLE["last_name"]},
            {"paid_at": -1},
        ]
        odd = [msgspec.structs.replace(paid, value={**(paid.value or {}), **change}) for change in changes]
        publisher = Publisher(self.dispatch.settings, self.dispatch.schemas)
        list(publisher.publish([*records, *odd]))
        publisher.close()
        self._write_odd(paid)
        return [each for each in told if isinstance(each, Truth)]

    def _write_odd(self, paid: Published) -> None:
        """Not Avro at all, another schema, and bytes of ours that can't be read."""
        fields = [{"name": name, "type": "string"} for name in ("order_id", "status", "updated_at", "email")]
        schema = msgspec.json.encode({"type": "record", "name": "Odd", "fields": fields}).decode()
        schema_id = self.dispatch.schemas.register(f"{self.dispatch.prefix}.odd-value", schema)
        body = b"".join(
            bytes([2 * len(text.encode())]) + text.encode() for text in ("1", "PAID", *PEOPLE.values())
        )
        writer = Writer(self.dispatch.settings.kafka)
        key = (paid.key or "").encode()
        for topic, value in (
            (self.dispatch.settings.topics.orders, msgspec.json.encode(PEOPLE)),
            (self.dispatch.settings.topics.orders, b"\0" + schema_id.to_bytes(4, "big") + body),
            (self.dispatch.settings.topics.checkouts, b"\0\0\0\0\1" + msgspec.json.encode(PEOPLE)),
            (f"{self.dispatch.prefix}.conversions", b"not Avro"),
        ):
            headers = (("customer-email", PEOPLE["email"].encode()),)
            writer.produce(topic, value, key=key, headers=() if topic.endswith("conversions") else headers)
        assert writer.flush(30) == 0
        writer.close()

    def fail(self, truths: Iterable[Truth]) -> None:
        """Everything that can go wrong with the platform does."""
        poison = next(each.event_id for each in truths if each.event == "purchase" and each.eligible["meta"])
        self._meta.fault("status", status=500, count=1)
        self._meta.fault("429", retry_after_s=1, count=1)
        self._meta.fault("html", count=1)
        self._meta.fault("reset", count=1)
        self._meta.fault("hang", count=1, after_body=True)
        self._meta.fault("poison", event_ids=[poison])

    def ask(self, process: Process, when: str) -> None:
        """Look at all that it answers."""
        for path in ("/health/live", "/health/ready", "/health/status", "/metrics", "/nothing?token=x"):
            self._search(f"http {path} {when}", process.get(path)[1])

    def look_at_topics(self) -> None:
        """Every topic of the prefix, with records of aborted transactions, record by record."""
        for name in self.dispatch.topics:
            for record in self.dispatch.records(name, "read_uncommitted"):
                self._search(f"topic {name} key", record.key or b"")
                self._search(f"topic {name} value", record.value or b"")
                self._search(f"topic {name} headers", repr(record.headers).encode())

    def look_at_files(self) -> None:
        """Logs, caches and state: as files, and state as it is read."""
        folder = self.dispatch.folder
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix not in {".token", ".yaml"}:
                self._search(f"file {path.relative_to(folder)}", path.read_bytes())
        for number in range(self.dispatch.partitions):
            store = Store(folder / "state" / f"{number:04d}")
            for key, value in store.under(b""):
                self._search("state", key + b"\n" + value)
            store.close()

    def look_at_commands(self) -> None:
        """What commands print, also of settings that are wrong in ways that quote secrets."""
        dispatch, folder = self.dispatch, self.dispatch.folder
        good = dispatch.file("shown")
        two_lines = folder / "two.token"
        two_lines.write_text("\n".join(TOKENS.values()), encoding="utf-8")
        (destination,) = dispatch.values["destinations"]
        secrets = {**dispatch.values["kafka"], "extra": {"sasl.password": TOKENS["token"]}}
        wrong: dict[str, dict[str, Any]] = {
            "two": {"destinations": [{**destination, "token_file": str(two_lines)}]},
            "unknown": {"destinations": [{**destination, "token": TOKENS["token"]}]},
            "typed": {"drain_timeout_s": TOKENS["token"]},
            "url": {"registry": {"url": f"http://user:{quote(TOKENS['token'])}@registry.example"}},
            "extra": {"kafka": {**secrets, "extra": {"ssl.key.pem": TOKENS["token"]}}},
        }
        asked = [("show", dispatch.file("secret", kafka=secrets)), ("show", good), ("check", good)]
        asked += [("check", dispatch.file(name, **values)) for name, values in wrong.items()]
        broken = folder / "broken.yaml"
        broken.write_text(f"token: [{TOKENS['token']}\n  x: }}", encoding="utf-8")
        asked.append(("check", broken))
        for command, file in asked:
            with dispatch.run(
                "config", command, "--config", str(file), log=f"command-{file.stem}"
            ) as process:
                process.end()
                self._search(f"command config {command} {file.stem}", process.text.encode())
                assert process.text


def is_allowed(canary: str, place: str) -> bool:
    """Where design.md says that it may be."""
    if canary in TOKENS:
        return place == "wire authorization"
    shops = ("topic orders ", "topic checkouts ")
    return place.startswith(shops) or place == "topic dlq.ingest value"


def look_at_wire(search: Search, sent: Iterable[bytes]) -> None:
    """What went to the platform; the header of the token apart from all else."""
    for each in sent:
        lines = bytes(each).split(b"\r\n")
        search("wire authorization", b"\n".join(line for line in lines if _is_authorization(line)))
        search("wire", b"\r\n".join(line for line in lines if not _is_authorization(line)))


def _is_authorization(line: bytes) -> bool:
    return line.lower().startswith(b"authorization: bearer ")


@pytest.mark.timeout(400)
def test_people_and_tokens_are_found_only_where_they_may_be(
    bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """In topics, state, caches, logs, metrics, traces, answers, commands and requests no canary is, but by design."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    search, listener = Search(CANARIES), Listener()
    with RegistryThread() as registry, listener.listening(), Emulated(secret=TOKENS["token"]) as meta:
        telemetry = {"otlp_endpoint": listener.url, "log_level": "debug"}
        dispatch = Dispatch(
            bootstrap, registry.url, prefix, tmp_path, telemetry=telemetry, join={"wait_s": 5}
        )
        wire = Wire(meta.url)
        dispatch.destination("meta-us", wire, batch_max_events=20, request_timeout_s=2)
        dispatch.put_token("meta-us", TOKENS["token"])
        dispatch.make_topics()
        run = Run(dispatch, meta, search)
        truths = run.publish()
        with wire.open():
            run.fail(truths)
            through(run, meta)
        run.look_at_topics()
        run.look_at_commands()
        run.look_at_files()
        look_at_wire(search, map(bytes, wire.sent))
    for path, body in listener.kept:
        search(f"collector {path}", body)

    looked_at = {"topic endings value", "state", "file one.log"}
    assert {"collector /v1/traces", "collector /v1/metrics", *looked_at} <= search.places
    reasons = {letter.headers["dlq.reason"] for letter in dispatch.letters("ingest")}
    assert {"undecodable", "missing_field", "no_currency"} <= reasons, reasons
    assert {letter.headers["dlq.reason"] for letter in dispatch.letters()} >= {"rejected", "unreadable"}
    wrong = {
        canary: astray
        for canary, places in search.found.items()
        if (astray := sorted(place for place in places if not is_allowed(canary, place)))
    }
    assert wrong == {}
    for canary in PEOPLE:  # the search proves itself: they are there, where the shop put them
        assert {"topic orders value", "topic checkouts value"} <= search.found[canary], canary
    assert "topic dlq.ingest value" in search.found["email"]
    for canary in TOKENS:
        assert search.found[canary] == {"wire authorization"}


def through(run: Run, meta: Emulated) -> None:
    """All of it goes through enrich and deliver, with a park in the middle."""
    dispatch = run.dispatch
    with dispatch.run("run", "--config", str(dispatch.file("one")), log="one") as process:
        dispatch.await_enriched(process)
        dispatch.await_settled("meta-us", processes=[process])
        run.ask(process, "running")
        meta.set_token(TOKENS["next token"])
        dispatch.write(conversion(number) for number in range(30))
        process.await_line("destination_parked")
        run.ask(process, "parked")
        dispatch.put_token("meta-us", TOKENS["next token"])
        process.await_line("destination_resumed")
        dispatch.await_settled("meta-us", processes=[process])
        process.stop()
