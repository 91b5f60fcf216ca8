"""What was found, masked: enough to see what is wrong with a value, too little to know it."""

FOUND_MAX_CHARACTERS = 32
"""More than a time with its zone; of a longer text the length is told."""


def shape(value: object) -> str:
    """The shape of a value, for a refusal's text: letters as x, digits as #, anything beyond ASCII as ?.

    >>> shape("19,99 EUR"), shape("27.11.2026"), shape("jane@example.com"), shape(True)
    ("found '##,## xxx'", "found '##.##.####'", "found 'xxxx@xxxxxxx.xxx'", "found 'xxxx'")
    """
    text = str(value)
    if len(text) > FOUND_MAX_CHARACTERS:
        return f"found {len(text)} characters"
    return f"found '{''.join(map(_masked, text))}'"


def _masked(character: str) -> str:
    if not character.isascii() or not character.isprintable():
        return "?"
    if character.isalpha():
        return "x"
    return "#" if character.isdigit() else character
