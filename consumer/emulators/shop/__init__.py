"""A made-up shop: its visitors, its records, and what must come of them.

Seeded: the same seed and the same now give the same records, byte for byte; another now moves only the times.
`traffic` is the way in; `journeys.py` holds the mess that the world makes, each kind with rate and cause.
"""

from consumer.emulators.shop.journeys import KINDS
from consumer.emulators.shop.records import Damage, Known, PixelFire, Published, Taker, Topic, Truth
from consumer.emulators.shop.traffic import Plan, traffic

__all__ = ["KINDS", "Damage", "Known", "PixelFire", "Plan", "Published", "Taker", "Topic", "Truth", "traffic"]
