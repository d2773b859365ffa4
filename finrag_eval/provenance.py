"""Where a sweep comes from: its id, the code's commit, the machine and the versions used."""

from __future__ import annotations

import getpass
import platform
import re
import secrets
import socket
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("finrag-eval", "mlflow", "boto3", "botocore", "bm25s", "joblib", "pandas", "numpy")


def new_sweep_id(name: str, now: datetime) -> str:
    """An id that sorts by time and says what it is: ``20260102-030405-nightly-9f3a``."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "sweep"
    return f"{now:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitState:
    """The commit that the work tree is on, and whether it was changed since; None outside git."""

    commit: str | None
    dirty: bool | None


def git_state(folder: Path) -> GitState:
    """What git says of ``folder``; nothing is known outside a repository or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return GitState(commit=None, dirty=None)
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return GitState(commit=commit, dirty=None if changes is None else bool(changes))


def package_versions() -> dict[str, str]:
    """Installed versions of what decides a result, found without importing anything."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def user_name() -> str:
    """The user's name for MLflow's ``mlflow.user`` tag."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def host_name() -> str:
    """This machine's name."""
    return socket.gethostname()


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def iso_utc(seconds: float | None) -> str | None:
    """An instant as ISO 8601 with ``Z``; None stays None."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
