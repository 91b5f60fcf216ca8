"""Orders that the shop keys otherwise: the same records again, keyed by checkout id."""
