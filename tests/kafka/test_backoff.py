"""When what failed is tried again."""

from consumer.kafka.backoff import MAX_S, Backoff


def test_first_at_once_then_ever_later() -> None:
    """One failure may be chance; many in a row have a cause that needs time, within a bound."""
    backoff = Backoff()
    assert backoff.is_over(0.0)
    backoff.failed(0.0)
    assert backoff.is_over(0.0)
    waits = []
    for _ in range(12):
        backoff.failed(0.0)
        waits.append(next(wait / 100 for wait in range(1, 1_000) if backoff.is_over(wait / 100)))
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.2, MAX_S)


def test_a_success_forgets_all_failures() -> None:
    """The next failure is tried again at once."""
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(0.0)
    backoff.succeeded()
    assert repr(backoff) == "<Backoff: 0 failures>"
    backoff.failed(1.0)
    assert backoff.is_over(1.0)
