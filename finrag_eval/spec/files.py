"""Files as text: what is missing, unreadable or not UTF-8 is said once, here.

Enters: paths. Leaves: text without its byte-order mark, or None and a problem.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from finrag_eval.errors import Problem


def shown(path: Path) -> str:
    """The path as problems name it: relative where it lies under the working directory."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def read_bytes(path: Path, what: str, problems: list[Problem]) -> bytes | None:
    """The file's bytes; None and a problem where it cannot be read. ``what`` names its trade."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        reason, fix = f"no such {what}", _where_else(path)
    except IsADirectoryError:
        reason, fix = f"a folder, where a {what} is wanted", "name a file in it"
    except OSError as error:
        reason, fix = f"cannot be read: {error.strerror or error}", "check its permissions"
    problems.append(Problem(file=shown(path), message=reason, fix=fix))
    return None


def read_text(path: Path, what: str, problems: list[Problem]) -> str | None:
    """The file's text, decoded as UTF-8 with or without BOM; None and a problem where it is not."""
    raw = read_bytes(path, what, problems)
    return None if raw is None else decode(raw, shown(path), problems)


def decode(raw: bytes, file: str, problems: list[Problem]) -> str | None:
    """Bytes as UTF-8 text less a BOM; None and a problem with the line of the first bad byte."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = raw[: error.start]
        line = good.count(b"\n") + good.replace(b"\r\n", b"").count(b"\r") + 1
        message = f"not UTF-8: byte 0x{raw[error.start]:02x}"
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            message = "not UTF-8 but UTF-16"
        problems.append(
            Problem(file=file, line=line, message=message, fix="save the file as UTF-8")
        )
        return None


def _where_else(path: Path) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"there is no folder {shown(folder)} either; check the path"
    alike = [*sorted(folder.glob(f"*{path.suffix}")), *sorted(folder.glob(f"[!.]*/*{path.suffix}"))]
    by_name = {other.name: other for other in reversed(alike) if other.is_file()}
    close = get_close_matches(path.name, by_name, n=1)
    if close:
        return f"did you mean {shown(by_name[close[0]])}?"
    listed = ", ".join(shown(other) for other in alike[:6])
    return f"near it: {listed}" if listed else "check the path"
