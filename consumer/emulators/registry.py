"""A stand-in of the Confluent Schema Registry's API: Avro only, in memory, its compatibility check a simple one.

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html, with its error codes.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self, TypeAlias

from aiohttp import web
from msgspec import Struct

from consumer.emulators.evolution import Invalid, Parsed, parse, readable

BODY_MAX_BYTES = 4 * 1024 * 1024
STOP_TIMEOUT_S = 0.2
START_TIMEOUT_S = 10.0
LEVELS = frozenset(
    f"{way}{reach}" for way in ("BACKWARD", "FORWARD", "FULL") for reach in ("", "_TRANSITIVE")
) | {"NONE"}

Json: TypeAlias = Any


class Reference(Struct, frozen=True):
    """Another subject's version that a schema names types of."""

    name: str
    subject: str
    version: int


class Released(Struct, frozen=True):
    """A schema as registered."""

    schema_id: int
    text: str
    references: tuple[Reference, ...]
    parsed: Parsed


class Problem(Exception):
    """A reply of the API's error shape."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class RegistryEmulator:
    """Serves until `stop`. Ids count from 1; every subject is BACKWARD unless it or the whole is set otherwise."""

    def __init__(self) -> None:
        self._by_id: dict[int, Released] = {}
        self._subjects: dict[str, list[Released]] = {}
        self._level = "BACKWARD"
        self._levels: dict[str, str] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""

    def __repr__(self) -> str:
        where = self.url or "no address"
        return f"<RegistryEmulator at {where}: {len(self._by_id)} schemas, {len(self._subjects)} subjects>"

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; `url` is the address then, without a slash at its end. Raises OSError if the port is taken."""
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.url = f"http://{host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening and end what is open; what was registered stays for another start."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=[_as_replies])
        subject, level = "/subjects/{subject}", "/config/{subject}"
        tested = "/compatibility/subjects/{subject}/versions"
        app.add_routes(
            [
                web.get("/subjects", self._list_subjects),
                web.post(subject, self._look_up),
                web.get(f"{subject}/versions", self._list_versions),
                web.post(f"{subject}/versions", self._register),
                web.get(f"{subject}/versions/{{version}}", self._show_version),
                web.get("/schemas/ids/{id}", self._show_schema),
                web.get("/schemas/ids/{id}/versions", self._list_uses),
                web.post(tested, self._test),
                web.post(f"{tested}/{{version}}", self._test),
                web.get("/config", self._show_level),
                web.put("/config", self._set_level),
                web.get(level, self._show_level),
                web.put(level, self._set_level),
            ]
        )
        return app

    async def _list_subjects(self, _: web.Request) -> web.Response:
        return web.json_response(sorted(self._subjects))

    async def _list_versions(self, request: web.Request) -> web.Response:
        return web.json_response(list(range(1, len(self._released(request)) + 1)))

    async def _show_version(self, request: web.Request) -> web.Response:
        released = self._released(request)
        version = _version(request, len(released))
        return web.json_response(_told(released[version - 1], _subject(request), version))

    async def _show_schema(self, request: web.Request) -> web.Response:
        schema = self._known(request)
        return web.json_response({"schema": schema.text, **_references(schema)})

    async def _list_uses(self, request: web.Request) -> web.Response:
        schema_id = self._known(request).schema_id
        uses = [
            {"subject": subject, "version": version}
            for subject, released in self._subjects.items()
            for version, each in enumerate(released, 1)
            if each.schema_id == schema_id
        ]
        return web.json_response(uses)

    async def _look_up(self, request: web.Request) -> web.Response:
        released = self._released(request)
        wanted = _key(await self._asked(request))
        for version, each in enumerate(released, 1):
            if _key(each) == wanted:
                return web.json_response(_told(each, _subject(request), version))
        raise Problem(404, 40403, "Schema not found")

    async def _register(self, request: web.Request) -> web.Response:
        asked = await self._asked(request)
        subject = _subject(request)
        released = self._subjects.get(subject, [])
        found = _find(released, asked)
        if found is None:
            if not self._accepts(subject, asked, released):
                raise Problem(
                    409, 409, "Schema being registered is incompatible with an earlier schema of its subject"
                )
            found = _find(self._by_id.values(), asked) or asked
            self._by_id[found.schema_id] = found
            self._subjects[subject] = [*released, found]
        return web.json_response({"id": found.schema_id})

    async def _test(self, request: web.Request) -> web.Response:
        asked = await self._asked(request)
        released = self._subjects.get(_subject(request), [])
        if "version" in request.match_info:
            version = _version(request, len(self._released(request)))
            released = [released[version - 1]]
        return web.json_response({"is_compatible": self._accepts(_subject(request), asked, released)})

    async def _show_level(self, request: web.Request) -> web.Response:
        subject = request.match_info.get("subject")
        if subject is None:
            return web.json_response({"compatibilityLevel": self._level})
        if subject not in self._levels:
            raise Problem(
                404, 40408, f"Subject '{subject}' does not have subject-level compatibility configured"
            )
        return web.json_response({"compatibilityLevel": self._levels[subject]})

    async def _set_level(self, request: web.Request) -> web.Response:
        level = (await _body(request)).get("compatibility")
        if level not in LEVELS:
            raise Problem(422, 42203, "Invalid compatibility level")
        if "subject" in request.match_info:
            self._levels[_subject(request)] = level
        else:
            self._level = level
        return web.json_response({"compatibility": level})

    async def _asked(self, request: web.Request) -> Released:
        """The schema of the body, checked, with the id that it would get."""
        body = await _body(request)
        text, references = str(body.get("schema", "")), tuple(_read_references(body))
        try:
            parsed = parse(text, [each.text for each in self._referenced(references)])
        except Invalid:
            raise Problem(422, 42201, "Invalid schema") from None
        return Released(max(self._by_id, default=0) + 1, text, references, parsed)

    def _referenced(self, references: Iterable[Reference]) -> Iterator[Released]:
        """The schemas that are referred to, each once and after those that it refers to itself."""
        found: dict[int, Released] = {}
        for reference in references:
            released = self._subjects.get(reference.subject, [])
            if not 1 <= reference.version <= len(released):
                raise Problem(422, 42201, "Invalid schema: no such reference")
            schema = released[reference.version - 1]
            found |= {each.schema_id: each for each in self._referenced(schema.references)}
            found[schema.schema_id] = schema
        yield from found.values()

    def _accepts(self, subject: str, asked: Released, released: list[Released]) -> bool:
        level = self._levels.get(subject, self._level)
        way = level.removesuffix("_TRANSITIVE")
        against = released if level != way else released[-1:]
        backward = way not in {"BACKWARD", "FULL"} or all(
            readable(asked.parsed, each.parsed) for each in against
        )
        forward = way not in {"FORWARD", "FULL"} or all(
            readable(each.parsed, asked.parsed) for each in against
        )
        return backward and forward

    def _released(self, request: web.Request) -> list[Released]:
        subject = _subject(request)
        if not (released := self._subjects.get(subject)):
            raise Problem(404, 40401, f"Subject '{subject}' not found.")
        return released

    def _known(self, request: web.Request) -> Released:
        asked = request.match_info["id"]
        if not asked.isdecimal():
            raise Problem(404, 404, "HTTP 404 Not Found")
        if (schema := self._by_id.get(int(asked))) is None:
            raise Problem(404, 40403, f"Schema {asked} not found")
        return schema


class RegistryThread:
    """An emulator with a loop and a thread of its own; a context manager."""

    def __init__(self, port: int = 0) -> None:
        self.emulator = RegistryEmulator()
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._listening = Event()
        self._problem: OSError | None = None
        self._thread = Thread(target=self._run, name="registry-emulator", daemon=True)

    @property
    def url(self) -> str:
        """The emulator's address."""
        return self.emulator.url

    def start(self) -> Self:
        """Return once it listens. Raises OSError if the port is taken."""
        self._thread.start()
        if not self._listening.wait(START_TIMEOUT_S):
            message = "the registry's emulator did not start"
            raise OSError(message)
        if self._problem is not None:
            raise self._problem
        return self

    def stop(self) -> None:
        """Return once its socket and thread are gone."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<RegistryThread {self.emulator!r}>"

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self.emulator.start(self._port))
        except OSError as error:
            self._problem = error
        self._listening.set()
        if self._problem is None:
            self._loop.run_forever()
            self._loop.run_until_complete(self.emulator.stop())
        self._loop.close()


@web.middleware
async def _as_replies(request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401 (aiohttp's own type)
    try:
        reply: web.StreamResponse = await handler(request)
    except Problem as problem:
        body = {"error_code": problem.code, "message": str(problem)}
        return web.json_response(body, status=problem.status)
    return reply


async def _body(request: web.Request) -> dict[str, Json]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise Problem(400, 400, "Unable to process JSON") from None
    if not isinstance(body, dict):
        raise Problem(400, 400, "Unable to process JSON")
    return body


def _read_references(body: Mapping[str, Json]) -> Iterator[Reference]:
    try:
        for each in body.get("references") or ():
            yield Reference(str(each["name"]), str(each["subject"]), int(each["version"]))
    except (KeyError, TypeError, ValueError):
        raise Problem(422, 42201, "Invalid schema: not a reference") from None


def _subject(request: web.Request) -> str:
    return request.match_info["subject"]


def _version(request: web.Request, latest: int) -> int:
    """The version asked for, from 1 to the latest."""
    asked = request.match_info["version"]
    if asked in {"latest", "-1"}:
        return latest
    if not asked.isdecimal() or not int(asked):
        raise Problem(422, 42202, f"The specified version '{asked}' is not a valid version id.")
    if int(asked) > latest:
        raise Problem(404, 40402, f"Version {asked} not found.")
    return int(asked)


def _key(schema: Released) -> tuple[str, tuple[Reference, ...]]:
    """What makes two schemas the same: not white space, not the order of keys."""
    return json.dumps(json.loads(schema.text), sort_keys=True), schema.references


def _find(among: Iterable[Released], asked: Released) -> Released | None:
    wanted = _key(asked)
    return next((each for each in among if _key(each) == wanted), None)


def _references(schema: Released) -> dict[str, Json]:
    if not schema.references:
        return {}
    return {
        "references": [
            {"name": each.name, "subject": each.subject, "version": each.version}
            for each in schema.references
        ]
    }


def _told(schema: Released, subject: str, version: int) -> dict[str, Json]:
    whole = {"subject": subject, "version": version, "id": schema.schema_id, "schema": schema.text}
    return {**whole, **_references(schema)}
