"""What a pump works with, and what halts it."""

from concurrent.futures import Future

from msgspec import Struct

from consumer.deliver.aside import Aside
from consumer.deliver.intent import Intents
from consumer.deliver.outcomes import Outcomes
from consumer.deliver.sender import Sender
from consumer.errors import CapiError
from consumer.kafka.reader import Reader
from consumer.kafka.writer import Writer


class NotWritten(CapiError):
    """A receipt or a letter can't be written: the destination stops, and nothing more settles."""


class SenderEnded(CapiError):
    """The sender is gone though nobody stopped it."""


class Tools(Struct, frozen=True):
    """What a pump works with; all are its own. Without `intents`, nothing is told before it is sent."""

    reader: Reader
    writer: Writer
    outcomes: Outcomes
    sender: Sender
    sending: "Future[None]"
    aside: Aside
    intents: Intents | None
