"""Everything that can go wrong and that someone can do something about.

CapiError                     exit 1
├── ConfigurationError        exit 78: a setting is wrong; the message says which and what to write
├── Unreachable               exit 69: a broker, registry or platform does not answer
├── Refused                   exit 77: credentials were refused
├── Fenced                    another process has this instance's id
├── StateUnusable             the state folder is locked, foreign or cannot be written
└── RecordError               one record cannot be used: it becomes a letter
    ├── Undecodable           not the wire format, or not the Avro that its schema says
    ├── UnknownSchema         a working registry does not know the schema id
    └── Unmappable            decoded, but a needed field is missing, of another type or absurd

`SchemaUnavailable` is no fault of a record: the registry cannot be asked now, so its partition waits.
Messages never hold a customer's data: they name paths, types and ids of schemas.
"""


class CapiError(Exception):
    """Root of the tree above."""

    exit_code = 1


class ConfigurationError(CapiError):
    """A setting is wrong."""

    exit_code = 78


class Unreachable(CapiError):
    """Something outside does not answer."""

    exit_code = 69


class Refused(CapiError):
    """Credentials were refused."""

    exit_code = 77


class Fenced(CapiError):
    """Another process took over this instance's id."""


class StateUnusable(CapiError):
    """The state folder is locked by another process, belongs elsewhere, or can't be written."""

    exit_code = 78


class SchemaUnavailable(CapiError):
    """The registry can't be asked for a schema id now; ask again later."""

    exit_code = 69

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema {schema_id} is not cached and the registry does not answer")
        self.schema_id = schema_id


class RecordError(CapiError):
    """One record can't be used. `reason` is from the closed list of letter reasons."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Undecodable(RecordError):
    """The bytes are not what the wire format or the schema says."""

    def __init__(self, message: str) -> None:
        super().__init__("undecodable", message)


class UnknownSchema(RecordError):
    """A working registry does not know the schema id."""

    def __init__(self, schema_id: int) -> None:
        super().__init__("unknown_schema", f"the registry does not know schema id {schema_id}")
        self.schema_id = schema_id


class Unmappable(RecordError):
    """A needed field is missing, of another type or absurd. The message names the path, not the value."""
