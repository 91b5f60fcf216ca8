"""What became of each order at each destination: a local file made of the topics, and the questions put to it."""
