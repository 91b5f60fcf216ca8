"""The registry: what a real one and the stand-in have in common, and what our store makes of a failing one."""

import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pytest
from msgspec import Struct

from consumer.codec import load_schema, parse_schema, self_contained
from consumer.emulators.registry import RegistryThread
from consumer.errors import (
    CapiError,
    ConfigurationError,
    Refused,
    SchemaUnavailable,
    Undecodable,
    UnknownSchema,
    Unreachable,
)
from consumer.kafka.registry import RETRY_S, UNKNOWN_AFTER_S, SchemaStore
from consumer.settings import RegistrySettings

NO_SUCH_ID = 2_000_000_000
COLOUR = '{"type": "enum", "name": "Colour", "namespace": "test", "symbols": ["RED", "BLUE"]}'


def record(*fields: dict[str, object], name: str = "Thing") -> str:
    """A schema of a record with these fields."""
    return json.dumps({"type": "record", "name": name, "namespace": "test", "fields": fields})


PLAIN = record({"name": "a", "type": "int"})
WIDER = record({"name": "a", "type": "long"}, {"name": "b", "type": "string", "default": ""})
NARROWER = record({"name": "a", "type": "int"}, {"name": "b", "type": "string"})
WITH_COLOUR = record(
    {"name": "first", "type": "test.Colour"},
    {"name": "second", "type": ["null", "test.Colour"], "default": None},
)


class Told:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = 1_000.0

    def now_ms(self) -> int:
        """The same in epoch milliseconds."""
        return int(self.s * 1000)

    def monotonic_s(self) -> float:
        """What the test has set."""
        return self.s


class Reply(Struct, frozen=True):
    """What a scripted server answers. With `hang` nothing, until the server ends."""

    status: int = 200
    body: bytes = b""
    location: str = ""
    hang: bool = False


class Scripted:
    """A real HTTP server that answers everything with `reply` and counts what it was asked."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.asked: list[str] = []
        self._ending = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Send the reply of now."""
        self.asked.append(handler.path)
        reply = self.reply
        if reply.hang:
            self._ending.wait(30)
            return
        handler.send_response(reply.status)
        if reply.location:
            handler.send_header("Location", reply.location)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def stand_in() -> Iterator[str]:
    """Address of the stand-in."""
    with RegistryThread() as registry:
        yield registry.url


@pytest.fixture(params=["stand-in", "real"])
def url(request: pytest.FixtureRequest) -> str:
    """Address of one registry after the other."""
    fixture = "stand_in" if request.param == "stand-in" else "registry_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture
def subject() -> str:
    """A subject that no other test has; its name must be percent-encoded."""
    return f"t {uuid.uuid4().hex[:10]}/ü-value"


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server that answers as it is told."""
    with Scripted() as server:
        yield server


def call(url: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and decoded body of one call."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{url}/{path}", data, {"Content-Type": "application/vnd.schemaregistry.v1+json"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def registered(url: str, subject: str, schema: str, references: list[dict[str, object]] | None = None) -> int:
    """The id that a schema gets."""
    body = {"schema": schema, "references": references or []}
    status, reply = call(url, "POST", f"subjects/{quote(subject, safe='')}/versions", body)
    assert status == 200, reply
    return int(reply["id"])


def store_of(url: str, folder: Path, clock: Told | None = None, timeout_s: int = 20) -> SchemaStore:
    """A store, as a process that starts has it."""
    return SchemaStore(RegistrySettings(url=url, cache_dir=folder, timeout_s=timeout_s), clock)


def cached(folder: Path, schema_id: int) -> Path:
    """The file that holds a schema."""
    (file,) = folder.glob(f"*/{schema_id}.avsc")
    return file


def test_a_schema_is_found_by_every_way_after_its_registration(url: str, subject: str) -> None:
    """By id, by version, as the latest, by its text and in the lists."""
    at = quote(subject, safe="")
    schema_id = registered(url, subject, PLAIN)
    _, by_id = call(url, "GET", f"schemas/ids/{schema_id}")
    _, by_version = call(url, "GET", f"subjects/{at}/versions/1")
    _, latest = call(url, "GET", f"subjects/{at}/versions/latest")
    _, looked_up = call(url, "POST", f"subjects/{at}", {"schema": PLAIN})
    assert json.loads(by_id["schema"]) == json.loads(by_version["schema"]) == json.loads(PLAIN)
    for reply in (by_version, latest, looked_up):
        assert (reply["subject"], reply["version"], reply["id"]) == (subject, 1, schema_id)
    assert call(url, "GET", f"subjects/{at}/versions") == (200, [1])
    assert subject in call(url, "GET", "subjects")[1]
    assert {"subject": subject, "version": 1} in call(url, "GET", f"schemas/ids/{schema_id}/versions")[1]


def test_registering_again_gives_the_same_id(url: str, subject: str) -> None:
    """Neither repetition nor white space makes another version."""
    schema_id = registered(url, subject, PLAIN)
    assert registered(url, subject, PLAIN) == schema_id
    assert registered(url, subject, json.dumps(json.loads(PLAIN), indent=4)) == schema_id
    assert call(url, "GET", f"subjects/{quote(subject, safe='')}/versions") == (200, [1])


def test_the_same_text_in_another_subject_has_the_same_id(url: str, subject: str) -> None:
    """Ids are those of texts, not of subjects."""
    assert registered(url, subject, PLAIN) == registered(url, f"{subject}-2", PLAIN)


def test_only_compatible_versions_are_taken(url: str, subject: str) -> None:
    """By default a version must read what the latest wrote; the test call says the same beforehand."""
    at = quote(subject, safe="")
    registered(url, subject, PLAIN)
    tested = f"compatibility/subjects/{at}/versions/latest"
    assert call(url, "POST", tested, {"schema": NARROWER}) == (200, {"is_compatible": False})
    assert call(url, "POST", f"subjects/{at}/versions", {"schema": NARROWER})[0] == 409
    assert call(url, "POST", tested, {"schema": WIDER}) == (200, {"is_compatible": True})
    registered(url, subject, WIDER)
    assert call(url, "GET", f"subjects/{at}/versions") == (200, [1, 2])
    assert call(url, "POST", f"compatibility/subjects/{at}/versions", {"schema": PLAIN}) == (
        200,
        {"is_compatible": False},
    )


def test_a_subjects_own_level_counts(url: str, subject: str) -> None:
    """With NONE anything is taken."""
    at = quote(subject, safe="")
    registered(url, subject, PLAIN)
    assert call(url, "PUT", f"config/{at}", {"compatibility": "NONE"})[1]["compatibility"] == "NONE"
    assert call(url, "GET", f"config/{at}")[1]["compatibilityLevel"] == "NONE"
    registered(url, subject, NARROWER)
    assert call(url, "GET", "config")[1]["compatibilityLevel"] == "BACKWARD"


def test_what_is_not_there_has_its_code(url: str, subject: str) -> None:
    """An unknown subject, version, id and text are told apart by their codes."""
    at = quote(subject, safe="")
    assert _problem(call(url, "GET", f"subjects/{at}/versions")) == (404, 40401)
    assert _problem(call(url, "POST", f"subjects/{at}", {"schema": PLAIN})) == (404, 40401)
    registered(url, subject, PLAIN)
    assert _problem(call(url, "GET", f"subjects/{at}/versions/7")) == (404, 40402)
    assert _problem(call(url, "GET", f"schemas/ids/{NO_SUCH_ID}")) == (404, 40403)
    assert _problem(call(url, "POST", f"subjects/{at}", {"schema": WIDER})) == (404, 40403)


def test_what_is_no_schema_is_refused(url: str, subject: str) -> None:
    """Text that isn't Avro is 42201, and leaves nothing behind."""
    at = quote(subject, safe="")
    for text in ('{"type": "record"}', '{"type": "nonsense"}'):
        assert _problem(call(url, "POST", f"subjects/{at}/versions", {"schema": text})) == (422, 42201)
    assert _problem(call(url, "GET", f"subjects/{at}/versions")) == (404, 40401)


def test_a_reference_is_told_with_the_schema(url: str, subject: str) -> None:
    """A schema may name a type of another subject; whoever gets it by id learns where that is."""
    registered(url, f"{subject}-colour", COLOUR)
    reference = {"name": "test.Colour", "subject": f"{subject}-colour", "version": 1}
    schema_id = registered(url, subject, WITH_COLOUR, [reference])
    _, reply = call(url, "GET", f"schemas/ids/{schema_id}")
    assert reply["references"] == [reference]


def _problem(reply: tuple[int, Any]) -> tuple[int, int]:
    return reply[0], reply[1]["error_code"]


def test_a_store_registers_and_finds(url: str, subject: str, tmp_path: Path) -> None:
    """What one store registers another finds, by id and as the latest."""
    schema_id = store_of(url, tmp_path / "one").register(subject, PLAIN)
    other = store_of(url, tmp_path / "two")
    assert json.loads(other.schema(schema_id)) == json.loads(PLAIN)
    latest = other.latest(subject)
    assert latest is not None
    assert (latest.schema_id, latest.version) == (schema_id, 1)
    assert json.loads(latest.schema_json) == json.loads(PLAIN)
    assert repr(other) == f"<SchemaStore {url}: 1 schemas, 0 missing>"


def test_a_store_tells_what_the_registry_would_take(url: str, subject: str, tmp_path: Path) -> None:
    """A new subject takes anything; an incompatible version is refused as a fault of set-up."""
    store = store_of(url, tmp_path)
    assert store.latest(subject) is None
    assert store.compatible(subject, PLAIN)
    store.register(subject, PLAIN)
    assert store.compatible(subject, WIDER)
    assert not store.compatible(subject, NARROWER)
    with pytest.raises(ConfigurationError, match="capi schemas check"):
        store.register(subject, NARROWER)


def test_references_of_references_become_one_text(url: str, subject: str, tmp_path: Path) -> None:
    """A schema's text stands for itself, each type defined at its first use; it is on disk so, too."""
    registered(url, f"{subject}-colour", COLOUR)
    colour = {"name": "test.Colour", "subject": f"{subject}-colour", "version": 1}
    registered(url, f"{subject}-thing", WITH_COLOUR, [colour])
    thing = {"name": "test.Thing", "subject": f"{subject}-thing", "version": 1}
    box = record(
        {"name": "Colour", "type": "test.Colour"},
        {"name": "things", "type": {"type": "array", "items": "test.Thing"}},
        name="Box",
    )
    schema_id = registered(url, subject, box, [thing, colour])
    text = store_of(url, tmp_path).schema(schema_id)
    whole = record(
        {"name": "Colour", "type": json.loads(COLOUR)},
        {"name": "things", "type": {"type": "array", "items": json.loads(WITH_COLOUR)}},
        name="Box",
    )
    assert _fields(text) == _fields(whole)
    assert cached(tmp_path, schema_id).read_text() == text


def test_a_field_may_be_named_as_its_type() -> None:
    """Only a type's own definition counts as one, and names without a namespace stay so inside others."""
    bare = '{"type": "enum", "name": "Colour", "symbols": ["RED"]}'
    user = '{"type": "record", "name": "User", "fields": [{"name": "Colour", "type": "Colour"}]}'
    box = '{"type": "record", "name": "a.Box", "fields": [{"name": "all", "type": {"type": "map", "values": "a.Bag"}}]}'
    bag = '{"type": "record", "name": "a.Bag", "fields": [{"name": "Bag", "type": ["null", "a.Bag"]}]}'
    assert _fields(self_contained(user, [bare])) == _fields(
        user.replace('"type": "Colour"', f'"type": {bare}')
    )
    assert _fields(self_contained(box, [bag])) == _fields(box.replace('"a.Bag"', bag))


def _fields(text: str) -> object:
    """What both spellings of a schema have in common."""
    parsed = parse_schema(text)

    def plain(node: object) -> object:
        if isinstance(node, list):
            return [plain(each) for each in node]
        if isinstance(node, dict):
            return {k: plain(v) for k, v in node.items() if k != "namespace" and not k.startswith("__")}
        return node

    return plain(parsed)


def test_an_unknown_id_is_waited_for_before_it_is_an_error(url: str, tmp_path: Path) -> None:
    """For 30 s of the clock the partition waits; then the record is a letter; nothing of it is on disk."""
    clock = Told()
    store = store_of(url, tmp_path, clock)
    for _ in range(3):
        with pytest.raises(SchemaUnavailable):
            store.schema(NO_SUCH_ID)
    clock.s += UNKNOWN_AFTER_S - 1
    with pytest.raises(SchemaUnavailable):
        store.schema(NO_SUCH_ID)
    clock.s += 1
    with pytest.raises(UnknownSchema) as caught:
        store.schema(NO_SUCH_ID)
    assert caught.value.reason == "unknown_schema"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_outage_stops_neither_running_nor_restarting(subject: str, tmp_path: Path) -> None:
    """With the registry gone, known schemas are read and our own ids known, by this process and by the next."""
    with RegistryThread() as registry:
        url = registry.url
        theirs = registered(url, f"{subject}-orders", load_schema("order"))
        running = store_of(url, tmp_path)
        ours = running.register(subject, PLAIN)
        order = running.schema(theirs)
    restarted = store_of(url, tmp_path)
    for store in (running, restarted):
        assert store.schema(theirs) == order
        assert store.schema(ours) == PLAIN
        assert store.register(subject, PLAIN) == ours
        with pytest.raises(SchemaUnavailable):
            store.schema(ours + theirs)
    with pytest.raises(Unreachable):
        restarted.register(subject, WIDER)
    with pytest.raises(Unreachable):
        restarted.register(f"{subject}-2", PLAIN)
    with pytest.raises(Unreachable):
        restarted.latest(subject)


def test_a_registry_that_comes_back_is_asked_again(subject: str, tmp_path: Path) -> None:
    """An id asked for during the outage is had soon after it."""
    clock = Told()
    registry = RegistryThread()
    with registry:
        url = registry.url
        schema_id = registered(url, subject, PLAIN)
    store = store_of(url, tmp_path, clock)
    with pytest.raises(SchemaUnavailable):
        store.schema(schema_id)
    with RegistryThread(port=int(url.rpartition(":")[2])):
        assert registered(url, subject, PLAIN) == schema_id
        clock.s += RETRY_S
        assert json.loads(store.schema(schema_id)) == json.loads(PLAIN)


def test_schemas_of_one_registry_are_not_those_of_another(subject: str, tmp_path: Path) -> None:
    """Two registries that share a cache folder don't share ids."""
    with RegistryThread() as one, RegistryThread() as two:
        first, second = registered(one.url, subject, PLAIN), registered(two.url, subject, WIDER)
        assert first == second
        assert json.loads(store_of(one.url, tmp_path).schema(first)) == json.loads(PLAIN)
        assert json.loads(store_of(two.url, tmp_path).schema(second)) == json.loads(WIDER)


@pytest.mark.parametrize(
    "broken", [b"", PLAIN.encode()[:20], b"\xff\xfe\x00", b"{}", b"null", b"<html></html>"]
)
def test_a_damaged_file_is_fetched_anew(broken: bytes, subject: str, tmp_path: Path) -> None:
    """A cache file that is empty, half-written or something else counts as none, and is mended."""
    with RegistryThread() as registry:
        schema_id = store_of(registry.url, tmp_path).register(subject, PLAIN)
        cached(tmp_path, schema_id).write_bytes(broken)
        assert json.loads(store_of(registry.url, tmp_path).schema(schema_id)) == json.loads(PLAIN)
        url = registry.url
    assert json.loads(store_of(url, tmp_path).schema(schema_id)) == json.loads(PLAIN)


@pytest.mark.parametrize("broken", [b"", b"x", b"-4", b"99999999999", b"\xff"])
def test_a_damaged_id_is_none(broken: bytes, subject: str, tmp_path: Path) -> None:
    """An id on disk that can't be one is not used."""
    with RegistryThread() as registry:
        url = registry.url
        store_of(url, tmp_path).register(subject, PLAIN)
    (file,) = tmp_path.glob("*/*.id")
    file.write_bytes(broken)
    with pytest.raises(Unreachable):
        store_of(url, tmp_path).register(subject, PLAIN)


STRANGE = {
    "empty": Reply(200, b""),
    "html": Reply(200, b"<html>Welcome</html>"),
    "another shape": Reply(200, b"[1, 2]"),
    "no schema": Reply(200, b'{"id": 4}'),
    "a number for a schema": Reply(200, b'{"schema": 4, "id": "x"}'),
    "bad reference": Reply(200, b'{"schema": "{}", "references": [{"name": "a"}]}'),
    "empty 404": Reply(404, b""),
    "404 without a code": Reply(404, b'{"message": "no such path"}'),
    "html 404": Reply(404, b"<html>Not Found</html>"),
    "429": Reply(429, b"{}"),
    "500": Reply(500, b'{"error_code": 0, "message": ""}'),
    "503": Reply(503, b"no healthy upstream"),
    "a gateway's 401": Reply(401, b""),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_answer_is_no_verdict(case: str, scripted: Scripted, tmp_path: Path) -> None:
    """Whatever isn't a clear yes or no makes the partition wait, however long it lasts, and writes nothing."""
    clock = Told()
    scripted.reply = STRANGE[case]
    store = store_of(scripted.url, tmp_path, clock)
    for _ in range(4):
        with pytest.raises(SchemaUnavailable):
            store.schema(7)
        clock.s += UNKNOWN_AFTER_S
    assert len(scripted.asked) == 4
    scripted.reply = Reply(200, json.dumps({"schema": PLAIN}).encode())
    assert store.schema(7) == PLAIN
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["7.avsc"]


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_answer_to_a_registration_is_an_error_of_ours(
    case: str, scripted: Scripted, tmp_path: Path
) -> None:
    """Registering fails with a clear text without the login, never with the client's own error; then it heals."""
    scripted.reply = STRANGE[case]
    address = scripted.url.replace("//", "//someone:hush@")
    store = store_of(address, tmp_path)
    expected = Refused if case == "a gateway's 401" else Unreachable
    with pytest.raises(expected, match=r"http://127\.0\.0\.1") as caught:
        _register_anything(store, case)
    assert "hush" not in str(caught.value)
    scripted.reply = Reply(200, b'{"id": 12}')
    assert store.register("s", PLAIN) == 12


def _register_anything(store: SchemaStore, case: str) -> None:
    """A body that has an id, whatever else it lacks, would do for a registration: look those up instead."""
    if case in {"no schema", "bad reference"}:
        store.latest("s")
    else:
        store.register("s", PLAIN)


def test_a_redirect_is_not_followed(scripted: Scripted, tmp_path: Path) -> None:
    """A registry elsewhere than configured is none: its schema is not taken."""
    with RegistryThread() as elsewhere:
        schema_id = registered(elsewhere.url, "s", PLAIN)
        scripted.reply = Reply(302, b"", f"{elsewhere.url}/schemas/ids/{schema_id}")
        with pytest.raises(SchemaUnavailable):
            store_of(scripted.url, tmp_path).schema(schema_id)
    assert len(scripted.asked) == 1


def test_a_registry_that_hangs_costs_one_timeout(scripted: Scripted, tmp_path: Path) -> None:
    """Of many ids asked for at once only the first is asked of a registry that doesn't answer."""
    scripted.reply = Reply(hang=True)
    store = store_of(scripted.url, tmp_path, Told(), timeout_s=1)
    for schema_id in range(1, 50):
        with pytest.raises(SchemaUnavailable):
            store.schema(schema_id)
    assert scripted.asked == ["/schemas/ids/1"]


def test_a_failed_id_is_not_asked_for_again_at_once(scripted: Scripted, tmp_path: Path) -> None:
    """Within a second of the clock one request is made, another id's is not held up."""
    clock = Told()
    scripted.reply = Reply(500, b"{}")
    store = store_of(scripted.url, tmp_path, clock)
    for schema_id in (1, 1, 1, 2, 2):
        with pytest.raises(SchemaUnavailable):
            store.schema(schema_id)
    assert scripted.asked == ["/schemas/ids/1", "/schemas/ids/2"]
    clock.s += RETRY_S
    with pytest.raises(SchemaUnavailable):
        store.schema(1)
    assert len(scripted.asked) == 3


def test_an_outage_begins_the_wait_for_an_unknown_id_anew(scripted: Scripted, tmp_path: Path) -> None:
    """Only a registry that worked for 30 s may say for good that it knows no such id."""
    clock = Told()
    store = store_of(scripted.url, tmp_path, clock)
    unknown = Reply(404, b'{"error_code": 40403, "message": "Schema not found"}')
    for reply in (unknown, Reply(503), unknown):
        scripted.reply = reply
        with pytest.raises(SchemaUnavailable):
            store.schema(7)
        clock.s += 20
    with pytest.raises(SchemaUnavailable):
        store.schema(7)
    clock.s += 20
    with pytest.raises(UnknownSchema):
        store.schema(7)


def test_a_verdict_stands_for_a_while_and_is_not_for_ever(scripted: Scripted, tmp_path: Path) -> None:
    """Many records of one unknown id cost few requests; an id that appears later is found."""
    clock = Told()
    scripted.reply = Reply(404, b'{"error_code": 40403, "message": "Schema not found"}')
    store = store_of(scripted.url, tmp_path, clock)
    with pytest.raises(SchemaUnavailable):
        store.schema(7)
    clock.s += UNKNOWN_AFTER_S
    for _ in range(20):
        with pytest.raises(UnknownSchema):
            store.schema(7)
        clock.s += 1
    assert len(scripted.asked) == 2
    scripted.reply = Reply(200, json.dumps({"schema": PLAIN}).encode())
    clock.s += UNKNOWN_AFTER_S
    assert store.schema(7) == PLAIN


def test_an_id_that_appears_while_it_is_waited_for_is_found(scripted: Scripted, tmp_path: Path) -> None:
    """A registry that is starting may know an id a second later; then the wait is over."""
    clock = Told()
    scripted.reply = Reply(404, b'{"error_code": 40403, "message": "Schema not found"}')
    store = store_of(scripted.url, tmp_path, clock)
    with pytest.raises(SchemaUnavailable):
        store.schema(7)
    scripted.reply = Reply(200, json.dumps({"schema": PLAIN}).encode())
    clock.s += RETRY_S
    assert store.schema(7) == PLAIN


def test_a_schema_that_is_not_avro_is_left_to_the_decoder(scripted: Scripted, tmp_path: Path) -> None:
    """A working registry's Protobuf schema is no outage: whoever decodes by it says that it is none of Avro."""
    body = {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF", "references": []}
    scripted.reply = Reply(200, json.dumps(body).encode())
    text = store_of(scripted.url, tmp_path).schema(7)
    with pytest.raises(Undecodable):
        parse_schema(text)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_is_told_as_such(status: int, scripted: Scripted, tmp_path: Path) -> None:
    """Even a schema whose id is on disk is not registered past a refusal."""
    scripted.reply = Reply(200, b'{"id": 12}')
    assert store_of(scripted.url, tmp_path).register("s", PLAIN) == 12
    scripted.reply = Reply(status, json.dumps({"error_code": status, "message": "no"}).encode())
    store = store_of(scripted.url, tmp_path)
    for refused in (store.register, store.compatible):
        with pytest.raises(Refused):
            refused("s", PLAIN)
    with pytest.raises(Refused):
        store.latest("s")


def test_a_folder_that_cannot_be_made_is_refused_at_start(tmp_path: Path) -> None:
    """A file in the folder's place is told with the setting to change, before anything is asked."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CapiError, match=r"registry\.cache_dir") as caught:
        store_of("http://127.0.0.1:9", tmp_path / "file")
    assert caught.value.exit_code == 78
