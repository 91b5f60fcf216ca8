"""E-mail addresses by each platform's rule: what is done to dots, to a plus part, to all else."""

import re
from collections.abc import Mapping

from consumer.ingest.spelling import composed, plain

GMAIL = frozenset({"gmail.com", "googlemail.com"})
_ADDRESS = re.compile(r'[^\s<>()\[\],;:"\\@]+@[^\s<>()\[\],;:"\\@]+')
_NOT_KEPT = bytes(code for code in range(128) if not (chr(code).isalnum() or chr(code) in ".@-"))


def emails(raw: str, _land: str = "") -> Mapping[str, str]:
    """Form to address, none if it isn't one: no at or two, nothing before or behind it, a name or a list around it.

    White space inside is a slip of the keyboard for platforms that remove it, and no address for the others.

    >>> emails(" Jane.Doe+Shopping@Gmail.com ")["email"], emails("Jane.Doe+Shopping@Gmail.com")["email_gmail"]
    ('jane.doe+shopping@gmail.com', 'janedoe@gmail.com')
    >>> emails("jane @shop.example"), emails("Jane <jane@shop.example>")
    ({'email_no_spaces': 'jane@shop.example'}, {})
    """
    text = composed(raw.strip())
    if not _ADDRESS.fullmatch(text):
        tight = "".join(text.split())
        return {"email_no_spaces": tight} if tight != text and _ADDRESS.fullmatch(tight) else {}
    user, _, domain = text.partition("@")
    if user.isalnum() and text.isascii():
        return {"email": text, "email_ascii": _ascii(text)} if "_" in domain else {"email": text}
    return _forms(text, user, domain)


def _forms(text: str, user: str, domain: str) -> Mapping[str, str]:
    """An address of which a rule leaves nothing before the at has no such form."""
    bare = user.partition("+")[0].replace(".", "")
    canonical = f"{bare}@{domain}" if bare else ""
    named = plain(bare)
    return {
        "email": text,
        "email_gmail": canonical if domain in GMAIL else text,
        "email_no_alias": canonical,
        "email_alphanumeric": f"{named}@{domain}" if named else "",
        "email_ascii": _ascii(text),
    }


def _ascii(text: str) -> str:
    """Letters beyond ASCII aren't left out here: what remained would be the address of somebody else."""
    if not text.isascii():
        return ""
    kept = text.encode().translate(None, _NOT_KEPT).decode()
    return "" if kept[0] == "@" or kept[-1] == "@" else kept
