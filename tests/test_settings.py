"""Settings: what is wrong is refused at start, with the key and what to write instead."""

import json
import os
from pathlib import Path

import pytest

from consumer.errors import ConfigurationError
from consumer.kafka.clients import check_config
from consumer.settings import INSTEAD_OF_EXTRA, OWNED_BY_US, KafkaSettings, Settings, load

DESTINATION = "{name: meta-us, platform: meta, account: '1', token_file: token}"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets itself counts."""
    for variable in os.environ:
        if variable.upper().startswith("CAPI_"):
            monkeypatch.delenv(variable)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its settings."""
    return tmp_path / "capi.yaml"


def loaded(file: Path, text: str) -> Settings:
    """The settings that this text makes."""
    file.write_text(text)
    return load(file)


def refusal(file: Path, text: str) -> str:
    """What is said of settings that are refused."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(file, text)
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_nothing_is_enough() -> None:
    """Without a file and without an environment every setting has its default."""
    found = load(None)
    assert found == Settings()
    assert (found.topics.prefix, found.kafka.group_protocol, found.start) == ("capi", "classic", "earliest")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("drain_timeout: 5", "unknown setting drain_timeout; did you mean drain_timeout_s?"),
        ("kafka: {bootstrap: 'a:1'}", "kafka.bootstrap; did you mean kafka.bootstrap_servers?"),
        ("state: {dedupe_window: 5}", "state.dedupe_window; did you mean state.dedupe_window_s?"),
        (
            f"destinations: [{DESTINATION[:-1]}, tokenfile: t}}]",
            "unknown setting destinations.0.tokenfile; did you mean destinations.token_file?",
        ),
        ("zzz: 1", "unknown setting zzz"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(file: Path, text: str, told: str) -> None:
    """A mistyped key is never passed over, and the one that was meant is named if there is one like it."""
    assert refusal(file, text).endswith(told)


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("CAPI_JOIN__WAIT", "CAPI_JOIN__WAIT sets nothing; did you mean CAPI_JOIN__WAIT_S?"),
        ("CAPI_INSTANCEID", "CAPI_INSTANCEID sets nothing; did you mean CAPI_INSTANCE_ID?"),
        ("CAPI_KAFKA_BOOTSTRAP_SERVERS", "did you mean CAPI_KAFKA__BOOTSTRAP_SERVERS?"),
        ("CAPI_XYZ", "CAPI_XYZ sets nothing"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(
    file: Path, variable: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped variable of ours is never passed over either."""
    monkeypatch.setenv(variable, "1")
    assert refusal(file, "").endswith(told)


def test_other_variables_are_let_be(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What begins otherwise, names the file or belongs to the tests is no setting."""
    file.write_text("instance_id: from-file")
    for variable, value in {"CAPI_CONFIG": str(file), "CAPI_TEST_BOOTSTRAP": "a:1", "CAPITAL": "1"}.items():
        monkeypatch.setenv(variable, value)
    assert load(None).instance_id == "from-file"


def test_the_environment_goes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable wins over the file's key, and leaves its neighbours as the file has them."""
    monkeypatch.setenv("CAPI_JOIN__WAIT_S", "7")
    monkeypatch.setenv("CAPI_INSTANCE_ID", "enrich-1")
    file.write_text("instance_id: enrich-0\njoin: {wait_s: 60, waiting_max_orders: 5}")
    found = load(file)
    assert (found.instance_id, found.join.wait_s, found.join.waiting_max_orders) == ("enrich-1", 7, 5)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CAPI_JOIN__WAIT_S", "long", "join.wait_s: "),
        (
            "CAPI_KAFKA__EXTRA",
            "{not json",
            'must hold JSON here: error parsing value for field "kafka"',
        ),
        ("CAPI_DESTINATIONS", "meta-us", "destinations"),
        ("CAPI_DESTINATIONS__0__NAME", "meta-us", "destinations"),
    ],
)
def test_a_variable_of_another_type_is_refused(
    file: Path, variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word where something else must be is refused with the setting's name."""
    monkeypatch.setenv(variable, value)
    assert told in refusal(file, "")


def test_lists_and_maps_come_from_the_environment_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Destinations as JSON, and one key of librdkafka beside those of the file."""
    value = {"name": "meta-us", "platform": "meta", "account": "1", "token_file": "token"}
    monkeypatch.setenv("CAPI_DESTINATIONS", json.dumps([value]))
    monkeypatch.setenv("CAPI_KAFKA__EXTRA__SASL.PASSWORD", "hunter2")
    found = loaded(file, "kafka: {extra: {sasl.username: me}}")
    assert [each.name for each in found.destinations] == ["meta-us"]
    assert found.kafka.extra == {"sasl.username": "me", "sasl.password": "hunter2"}


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081", "https://registry.example"],
)
def test_a_safe_address_is_taken(file: Path, address: str) -> None:
    """TLS to anyone, plain HTTP to the machine itself."""
    assert loaded(file, f"registry: {{url: '{address}'}}").registry.url == address


@pytest.mark.parametrize(
    "address",
    [
        "http://registry.example",
        "http://10.0.0.1:8081",
        "http://127.0.0.1.example",
        "http://127.0.0.1@evil.example",
        "http://0.0.0.0",
        "registry:8081",
        "ftp://127.0.0.1",
        "",
        "http://[::1",
    ],
)
def test_plain_http_to_others_is_refused(file: Path, address: str) -> None:
    """An address through which secrets would travel in the clear is refused, for the registry and for a platform."""
    assert "must begin with https://" in refusal(file, f"registry: {{url: '{address}'}}")
    destination = f"{DESTINATION[:-1]}, base_url: '{address}'}}"
    assert "destinations.0.base_url" in refusal(file, f"destinations: [{destination}]")


def test_an_address_with_a_password_is_not_repeated(file: Path) -> None:
    """What is said of a refused address leaves out what it holds between slashes and at-sign."""
    assert "hunter2" not in refusal(file, "registry: {url: 'http://me:hunter2@registry.example'}")


def test_two_destinations_never_share_a_name(file: Path) -> None:
    """A name is a consumer group: two destinations of one name would share the work."""
    assert "two destinations are named meta-us" in refusal(
        file, f"destinations: [{DESTINATION}, {DESTINATION}]"
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("join: {wait_s: long}", "join.wait_s"),
        ("join: {wait_s: 0}", "join.wait_s"),
        ("join: 5", "join"),
        ("http: {port: 70000}", "http.port"),
        ("instance_id: Not A Name", "instance_id"),
        ("kafka: {group_protocol: share}", "kafka.group_protocol"),
        ("consent: {when_missing: maybe}", "consent.when_missing"),
        ("destinations: {name: meta-us}", "destinations"),
        ("destinations: [{name: meta-us}]", "destinations.0.token_file"),
        (f"destinations: [{DESTINATION[:-1]}, events: [buy]}}]", "destinations.0.events"),
    ],
)
def test_a_wrong_value_is_told_by_its_key(file: Path, text: str, key: str) -> None:
    """A value of another type or out of its range is refused with the path of its key."""
    assert any(line.startswith(key) for line in refusal(file, text).splitlines())


@pytest.mark.parametrize(
    ("start", "read"),
    [
        ("earliest", "earliest"),
        ("now", "now"),
        ("2026-11-27T00:00:00Z", "2026-11-27T00:00:00+00:00"),
        ("'2026-11-27T00:00:00Z'", "2026-11-27T00:00:00Z"),
        ("2026-11-27T02:00:00+02:00", "2026-11-27T02:00:00+02:00"),
    ],
)
def test_a_start_may_be_a_time(file: Path, start: str, read: str) -> None:
    """A time may be written with quotes or without, and stays the same moment."""
    assert loaded(file, f"start: {start}").start == read


@pytest.mark.parametrize("start", ["2026-11-27T00:00:00", "'2026-11-27'", "2026-11-27", "latest"])
def test_a_start_without_a_zone_is_refused(file: Path, start: str) -> None:
    """A time that leaves open which moment is meant, and any other word, is refused with an example."""
    assert "2026-11-27T00:00:00Z" in refusal(file, f"start: {start}")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: [", "is not YAML"),
        (b"instance_id: a\nkafka: {:\n", "is not YAML: look at line 2"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"- 1", "must be a mapping"),
        (b"1: 2", "must be a mapping"),
    ],
)
def test_a_file_that_is_not_yaml_is_refused(file: Path, content: bytes, told: str) -> None:
    """A file of another kind is refused by its name."""
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told) as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_what_stands_in_a_broken_file_is_not_repeated(file: Path) -> None:
    """Credentials of the cluster may stand where the file is broken."""
    assert "hunter2" not in refusal(file, "kafka: {extra: {sasl.password: hunter2\njoin: 5")


def test_a_file_that_is_not_there_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path, by option or by variable, is refused with how to name the right one."""
    monkeypatch.setenv("CAPI_CONFIG", str(file))
    for path in (file, file.parent, None):
        with pytest.raises(ConfigurationError, match="--config or CAPI_CONFIG"):
            load(path)


@pytest.mark.parametrize("key", sorted({*OWNED_BY_US, *INSTEAD_OF_EXTRA}))
def test_what_promises_rest_on_is_no_extra(file: Path, key: str) -> None:
    """A key of librdkafka that the product sets itself is refused, with the setting to use if there is one."""
    told = refusal(file, f"kafka: {{extra: {{{key}: x}}}}")
    assert told.startswith("kafka.extra: ")
    assert key in told
    assert INSTEAD_OF_EXTRA.get(key, "leave it out") in told


@pytest.mark.parametrize("group_protocol", ["classic", "consumer"])
@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ({"no.such.key": 1}, "no.such.key"),
        ({"security.protocol": "TSL"}, "security.protocol"),
        ({"socket.timeout.ms": "soon"}, "socket.timeout.ms"),
        ({"socket.timeout.ms": -5}, "socket.timeout.ms"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/no/such/file"}, "ssl.ca.location"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN"}, "sasl.username"),
        ({"message.timeout.ms": 500_000}, "message.timeout.ms"),
    ],
)
def test_librdkafka_looks_at_the_extras(group_protocol: str, extra: dict[str, str | int], key: str) -> None:
    """A key or value that librdkafka does not take is a fault of the settings, told by its key."""
    kafka = KafkaSettings.model_validate({"extra": extra, "group_protocol": group_protocol})
    with pytest.raises(ConfigurationError, match=r"^kafka\.extra: ") as caught:
        check_config(kafka)
    assert key in str(caught.value)


@pytest.mark.parametrize("group_protocol", ["classic", "consumer"])
def test_extras_that_librdkafka_takes_pass(group_protocol: str) -> None:
    """Credentials, TLS and tuning are let through, for readers and writers alike."""
    extra = {"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN", "sasl.username": "me"}
    tuning = {"sasl.password": "hunter2", "fetch.min.bytes": 10, "linger.ms": 7.5, "client.id": "shop"}
    check_config(
        KafkaSettings.model_validate({"extra": {**extra, **tuning}, "group_protocol": group_protocol})
    )
