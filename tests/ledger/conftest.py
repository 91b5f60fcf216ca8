"""Conversions on the real cluster, and a ledger beside them."""

from tests.broker.conftest import open_dispatch, stand_in

__all__ = ["open_dispatch", "stand_in"]
