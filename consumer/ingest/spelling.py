"""How text is made comparable: composed, lower case, bare of what isn't wanted."""

import unicodedata

_SIGNS = bytes(code for code in range(128) if not (chr(code).isalnum() or chr(code).isspace()))
_NO_NAME = bytes(code for code in range(128) if not chr(code).isalnum())
_SPELLED_OUT = str.maketrans({"ß": "ss", "ä": "ae", "ö": "oe", "ü": "ue", "ø": "o", "æ": "ae"})


def composed(text: str) -> str:
    """Lower case and composed (NFC); ASCII, the common case, is both by lower case alone."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def composed_in_case(text: str) -> str:
    """Composed (NFC), else as it is."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Letters, marks and digits of any script; `text` is composed.

    >>> plain("o'brien-smith"), plain("van der berg"), plain("são paulo"), plain("정")
    ('obriensmith', 'vanderberg', 'sãopaulo', '정')
    """
    return text if text.isalnum() else _only(text, "LMN")


def words(text: str) -> str:
    """Letters and marks, words apart by one space; `text` is composed.

    >>> words("o'brien jr. 2"), words("mary-ann"), words("van der berg")
    ('obrien jr', 'maryann', 'van der berg')
    """
    if text.isalpha():
        return text
    return " ".join(named for each in text.split() if (named := _only(each, "LM")))


def numbered_words(text: str) -> str:
    """Letters, marks and digits, words apart by one space; `text` is composed.

    >>> numbered_words("123 main st., apt #4")
    '123 main st apt 4'
    """
    if text.isascii():
        return " ".join(text.encode().translate(None, _SIGNS).decode().split())
    return " ".join(named for each in text.split() if (named := plain(each)))


def spelled_out(text: str) -> str:
    """Umlauts as two letters; `text` is composed."""
    return text if text.isascii() else text.translate(_SPELLED_OUT)


def only_ascii(text: str) -> str:
    """Letters from a to z and digits; every other letter is left out. `text` is composed.

    >>> only_ascii("são paulo"), only_ascii(spelled_out("jürgen")), only_ascii("東京")
    ('sopaulo', 'juergen', '')
    """
    return text.encode("ascii", "ignore").translate(None, _NO_NAME).decode()


def _only(text: str, categories: str) -> str:
    return composed("".join(each for each in text if unicodedata.category(each)[0] in categories))
