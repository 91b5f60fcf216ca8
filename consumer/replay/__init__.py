"""Dead letters sent again: which of them would go and which stay, and sending those that go."""
