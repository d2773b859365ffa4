"""All benchmarks, one after another, each in a process of its own: ``python -m benchmarks``.

    python -m benchmarks                    all of them (hours on a small machine)
    python -m benchmarks lanes startup      only these
    python -m benchmarks --quick            fewer rounds and smaller sizes: minutes
    python -m benchmarks --write            put what they print into benchmarks/RESULTS.md, too

They print medians with their spread, and ratios: a busy machine makes all sides of a table slower.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).parent.absolute()
RESULTS = HERE / "RESULTS.md"

#: Each benchmark with what makes it quick.
BENCHMARKS: dict[str, list[str]] = {
    "startup": ["--rounds", "2"],
    "lanes": ["--rounds", "3", "--no-naive"],
    "recorder": ["--trials", "500", "--rounds", "2"],
    "ledger_cost": ["--trials", "500", "--rounds", "2"],
    "end_to_end": ["--rounds", "1", "--only", "0:16", "0.05:16", "0.5:64"],
    "where_time_goes": ["--trials", "20", "220"],
    "scale": ["--trials", "1000", "10000"],
    "compare_sweeps": ["--rounds", "1"],
    "costs_store": ["--rounds", "2"],
    "estimate_law": ["--tries", "10"],
    "aa_law": ["--sweeps", "200"],
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    print(machine(), flush=True)
    broken = 0
    for name in asked.names or BENCHMARKS:
        code, printed = run(name, BENCHMARKS[name] if asked.quick else [])
        broken += code != 0
        if asked.write and code == 0:
            RESULTS.write_text(with_section(RESULTS.read_text("utf-8"), name, printed), "utf-8")
    return 1 if broken else 0


def run(name: str, options: list[str]) -> tuple[int, str]:
    """Run one benchmark, and show what it prints as it prints it; its code and its output."""
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    print(f"\n== {name} {' '.join(options)}", flush=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return process.wait(), "".join(lines)


def with_section(page: str, name: str, printed: str) -> str:
    """The page of results with this benchmark's section in the place of its old one."""
    began = f"## {name}\n\n_{time.strftime('%Y-%m-%d', time.gmtime())}, commit {commit()}_\n\n"
    section = f"{began}{body(printed)}\n"
    old = re.compile(rf"^## {name}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if old.search(page):
        return old.sub(lambda _: section + "\n", page).rstrip() + "\n"
    return f"{page.rstrip()}\n\n{section}"


def body(printed: str) -> str:
    """Tables as they are; lines between them as blocks of plain text."""
    blocks = [
        (is_table, "\n".join(lines))
        for is_table, lines in groupby(printed.strip().splitlines(), lambda x: x.startswith("|"))
    ]
    return "\n\n".join(
        text if is_table else f"```text\n{text.strip()}\n```" for is_table, text in blocks
    )


def commit() -> str:
    """The commit that was measured, with a + where files were changed since."""
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=HERE, capture_output=True, text=True
    )
    return shown.stdout.strip() or "unknown"


def machine() -> str:
    """The machine and the versions that a figure depends on."""
    names = ("mlflow", "boto3", "pandas", "sqlalchemy", "joblib")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


if __name__ == "__main__":
    sys.exit(main())
