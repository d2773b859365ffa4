"""What all rooms' tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

MadeOnce = Callable[[str, Callable[[Path], None]], Path]

pytest_plugins = ["loopback.fixture", "loopback.aws_fixture"]

settings.register_profile(
    "finrag",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("finrag")


def pytest_configure(config: pytest.Config) -> None:
    """MLflow 3.17 itself uses what SQLAlchemy 2.1 calls old."""
    config.addinivalue_line("filterwarnings", "ignore:The ``noload``:DeprecationWarning")


@pytest.fixture(autouse=True)
def own_tracking_uri() -> Iterator[None]:
    """``mlflow.set_tracking_uri`` writes to the environment: no test inherits another's store."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


@pytest.fixture(scope="session", autouse=True)
def reachable_tmp(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Children that gave up root's rights must get as far as the test's own folder."""
    base = tmp_path_factory.getbasetemp()
    for folder in (base, base.parent, base.parent.parent):
        if folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(folder.stat().st_mode | 0o011)


PROJECT = Path(__file__).resolve().parent.parent

#: Rooms with long files: they go first, so that no worker is left alone with one at the end.
_LONG = ("sweep", "docs", "notebooks", "ui", "record", "report", "cli")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, else as they were found."""
    rank = {name: at for at, name in enumerate(_LONG)}
    tests = PROJECT / "tests"
    items.sort(key=lambda item: rank.get(item.path.relative_to(tests).parts[0], len(rank)))


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project; the test is skipped where it is absent."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs shared/data beside the project")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Makes a folder by that name once for all of xdist's workers; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if base.name.startswith("popen-") else base

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, is_made = root / name, root / f"{name}.made"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                is_made.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def make_store() -> Callable[[Path, str], None]:
    """Makes a SQLite store, or an experiment in one, without loading MLflow in this process."""

    def make(path: Path, experiment: str) -> None:
        code = (
            "import sys; from finrag_eval.record.store import open_store; "
            "open_store(sys.argv[1], sys.argv[2], own_process=True).engine.dispose()"
        )
        command = [sys.executable, "-c", code, f"sqlite:///{path}", experiment]
        subprocess.run(command, check=True, capture_output=True)

    return make


@pytest.fixture(scope="session")
def template_store(made_once: MadeOnce, make_store: Callable[[Path, str], None]) -> Path:
    """A migrated MLflow database to copy: migrations take a second, and MLflow's import more."""
    folder = made_once("template", lambda made: make_store(made / "template.db", "Default"))
    return folder / "template.db"


@pytest.fixture
def store_uri(template_store: Path, tmp_path: Path) -> str:
    """A fresh SQLite store of this test."""
    path = tmp_path / "mlflow.db"
    shutil.copy(template_store, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def workplace(project: Path, template_store: Path, made_once: MadeOnce) -> Path:
    """A user's folder with what ships, a store, and one finished sweep; copy it to change it."""

    def make(folder: Path) -> None:
        for name in ("sweeps", "query_sets"):
            shutil.copytree(project / name, folder / name)
        shutil.copy(project / "ml_config.yaml", folder)
        shutil.copy(template_store, folder / "mlflow.db")
        command = [sys.executable, "-m", "finrag_eval", "run", "sweeps/quickstart.yaml", "--quiet"]
        fewer = ["--set", "query_set.sample.n=16"]
        env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        subprocess.run([*command, *fewer], cwd=folder, env=env, check=True, capture_output=True)

    return made_once("workplace", make)
