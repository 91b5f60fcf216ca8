"""Times as shops write them, to epoch milliseconds. A time without a zone is none: nobody knows when it was."""

from datetime import UTC, datetime, timedelta, timezone

from consumer.errors import Unmappable
from consumer.ingest.shape import shape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000


def iso_ms(text: str, zone: timezone | None, path: str) -> int:
    """An ISO 8601 time; `zone` stands in where it names none. Raises Unmappable, without the value.

    >>> iso_ms("2026-11-27T00:00:00.25Z", None, "at"), iso_ms("2026-11-27T01:00:00+01:00", None, "at")
    (1795737600250, 1795737600000)
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Unmappable("bad_time", f"{path} is not an ISO 8601 time ({shape(text)})") from None
    if at.tzinfo is None:
        if zone is None:
            raise Unmappable(
                "bad_time", f"{path} has no zone; if it is always the same, give the mapping's rule a zone"
            )
        at = at.replace(tzinfo=zone)
    since = at - _EPOCH
    return since.days * _DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def zone_of(text: str) -> timezone:
    """UTC, or a fixed distance from it. Raises ValueError with a sentence.

    >>> zone_of("UTC"), zone_of("+05:30")
    (datetime.timezone.utc, datetime.timezone(datetime.timedelta(seconds=19800)))
    """
    if text in {"UTC", "Z"}:
        return UTC
    sign = {"+": 1, "-": -1}.get(text[:1], 0)
    hours, colon, minutes = text[1:].partition(":")
    if not (sign and colon and hours.isdigit() and minutes.isdigit()):
        raise ValueError(
            f"{text!r} is no zone: write UTC or a fixed one such as +01:00, for a city's changes"
        )
    return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes)))
