"""A destination's token, or key: a file, read at the start and looked at for a change ever after."""

from pathlib import Path

import structlog

from consumer.errors import ConfigurationError
from consumer.platforms.contract import Secret

TOKEN_MAX_BYTES = 65_536


class TokenFile:
    """One file with one token. The file may be replaced at any time; only its content counts."""

    def __init__(self, destination: str, path: Path) -> None:
        """Read it. Raises ConfigurationError if there is none, or nothing in it."""
        self._path = path
        self._setting = f"destinations.{destination}.token_file"
        self._log = structlog.get_logger("deliver").bind(destination=destination)
        self._complained = False
        self.token = self._read()

    def _read(self) -> Secret:
        try:
            with self._path.open("rb") as file:
                text = file.read(TOKEN_MAX_BYTES).decode().strip()
        except OSError as error:
            message = (
                f"{self._setting}: {self._path} can't be read ({error.strerror}); put the access token there"
            )
            raise ConfigurationError(message) from None
        except UnicodeDecodeError:
            message = (
                f"{self._setting}: {self._path} is not text; put the access token there, and nothing else"
            )
            raise ConfigurationError(message) from None
        lines = text.splitlines()
        if not text or not all(map(str.isprintable, lines)) or (len(lines) > 1 and text[0] != "{"):
            message = (
                f"{self._setting}: {self._path} must hold a token on one line, or a key as JSON, and no more"
            )
            raise ConfigurationError(message)
        return Secret(text)

    def changed(self) -> bool:
        """Read it again; whether it holds another token. One that can't be read now changes nothing."""
        try:
            token = self._read()
        except ConfigurationError as error:
            if not self._complained:
                self._log.warning("token_unreadable", error=str(error))
            self._complained = True
            return False
        self._complained = False
        if token == self.token:
            return False
        self.token = token
        return True

    def __repr__(self) -> str:
        return f"<TokenFile {self._path}>"
