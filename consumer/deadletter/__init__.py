"""The dead letter: what could not be used or delivered, with its bytes untouched and the reason beside them."""
