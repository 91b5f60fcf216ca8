"""Conversions become deliveries, and each delivery ends with a receipt. Begin with `lane.py`."""
