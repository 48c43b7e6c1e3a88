import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from core.settings import Settings
from core.storage.store import Store
from tests.support.fake_hub import Hub, running_hub

STOPWATCH = "LORALAB_STOPWATCH"  # stays: the whole suite can be run as on another processor
REAL_DATA = os.environ.get(
    "LORALAB_DATA", ""
)  # read before the tests' own environment takes its place
os.environ["LORALAB_SUPERVISE"] = "false"  # jobs stay as a test puts them
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the network
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")
LONG = ("browser", "worker")  # markers of tests that take minutes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long files first in the processes of xdist, so that none of them runs alone at the end.

    The others follow in xdist's own order: most tests first.
    """
    if hasattr(config, "workerinput"):
        tests = Counter(item.path for item in items)
        long = {item.path for item in items if any(map(item.get_closest_marker, LONG))}
        items.sort(key=lambda item: (item.path not in long, -tests[item.path]))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of the test's own, so that no test meets a person's runs."""
    for name in [name for name in os.environ if name.startswith("LORALAB_") and name != STOPWATCH]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LORALAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LORALAB_HUB", "false")
    monkeypatch.setenv("LORALAB_SUPERVISE", "false")
    yield tmp_path / "home"


@pytest.fixture
def supervised(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone who queues a job starts a real supervisor, and it real workers."""
    monkeypatch.setenv("LORALAB_SUPERVISE", "true")


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings()


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings)


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine, which is asked instead of the real one."""
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("LORALAB_HUB", "true")
        yield server


@pytest.fixture
def real_data() -> Path:
    """The folder of real AG News rows; skips where there is none."""
    if not Path(REAL_DATA or "nowhere").is_dir():
        pytest.skip("LORALAB_DATA points at no folder")
    return Path(REAL_DATA)
