"""Order and checkout become conversions, exactly once. Begin with `plan.py`."""
