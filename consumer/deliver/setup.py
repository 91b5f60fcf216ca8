"""What a destination's settings say, held against what its platform wants to know. Each refusal says what to do."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from consumer.deliver.route import Wants
from consumer.deliver.when import When
from consumer.errors import ConfigurationError
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Diagnosis, Field, Platform, Secret
from consumer.settings import Destination

EVERY_EVENT = frozenset({"purchase", "refund", "begin_checkout", "add_payment_info"})


def platform_of(destination: Destination) -> Platform:
    """The platform's file. Raises ConfigurationError, with the nearest name, if there is none."""
    platform = PLATFORMS.get(destination.platform)
    if platform is None:
        near = _near(destination.platform, PLATFORMS)
        message = f"destinations.{destination.name}.platform: {destination.platform!r} is not known; {near}"
        raise ConfigurationError(message)
    return platform


def account_of(destination: Destination, platform: Platform, token: Secret) -> Account:
    """Whose events they are, with the token file's text."""
    return Account(
        base_url=(destination.base_url or platform.base_url).rstrip("/"),
        account=destination.account,
        token=token,
        actions={str(event): action for event, action in destination.actions.items()},
        options=destination.options,
        test_event_code=destination.test_event_code,
    )


def wants_of(destination: Destination, platform: Platform, account: Account) -> Wants:
    """What it takes. Raises ConfigurationError if its platform can't be served with such settings."""
    if problems := list(_problems(destination, platform)):
        raise ConfigurationError("\n".join(problems))
    events = destination.events
    if platform.setup.action is not None and not _named_events(destination):
        events = events & destination.actions.keys()
    try:
        when = When(destination.when) if destination.when else None
    except ValueError as error:
        raise ConfigurationError(f"destinations.{destination.name}.when: {error}") from None
    after_s = destination.refund_after_s
    refund_after_ms = platform.limits.refund_after_ms if after_s is None else after_s * 1000
    skips_incomplete = destination.incomplete == "skip"
    return Wants(events, account, when, destination.value, refund_after_ms, skips_incomplete)


def diagnosis_of(destination: Destination, platform: Platform) -> Diagnosis | None:
    """How, and when, its platform is asked about what it accepted; None if it isn't."""
    diagnosis, after_s = platform.diagnosis, destination.diagnose_after_s
    if diagnosis is None or after_s is None:
        return diagnosis
    return replace(diagnosis, first_after_s=float(after_s))


def resends(destination: Destination, platform: Platform) -> frozenset[str]:
    """Events that are sent again when nobody knows what became of them."""
    return EVERY_EVENT if destination.unknown == "resend" else platform.dedupes_server_events


def _problems(destination: Destination, platform: Platform) -> Iterator[str]:
    setup, at = platform.setup, f"destinations.{destination.name}"
    yield from _form(f"{at}.account", setup.account, destination.account)
    yield from _actions(destination, platform, at)
    for name, field in setup.options.items():
        if field.needed and not destination.options.get(name):
            yield f"{at}.options.{name} is missing: {field.about}"
    for name, value in destination.options.items():
        if name not in setup.options:
            yield f"{at}.options.{name} is not known to {platform.name}; {_near(name, setup.options)}"
        elif value:
            yield from _form(f"{at}.options.{name}", setup.options[name], value)


def _actions(destination: Destination, platform: Platform, at: str) -> Iterator[str]:
    field, taken = platform.setup.action, ", ".join(platform.events)
    if field is None:
        if destination.actions:
            yield f"{at}.actions: {platform.name} has events of its own and takes none; leave it out"
        return
    for event, action in destination.actions.items():
        if event not in platform.events:
            yield f"{at}.actions.{event}: {platform.name} takes {taken}"
        else:
            yield from _form(f"{at}.actions.{event}", field, action)
    if not destination.actions:
        yield f"{at}.actions is missing: name {field.about} for each event that is to be sent, of {taken}"
    elif _named_events(destination):
        for event in sorted(destination.events & platform.events.keys() - destination.actions.keys()):
            yield f"{at}.actions.{event} is missing: {field.about}; or leave {event} out of events"


def _named_events(destination: Destination) -> bool:
    return "events" in destination.model_fields_set


def _form(at: str, field: Field, value: str) -> Iterator[str]:
    if re.fullmatch(field.form, value) is None:
        yield f"{at} does not have the form of {field.about}"


def _near(name: str, known: Mapping[str, object] | Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names) or 'none'}"
