"""``compare`` of two sweeps of 10,000 trials each: under 10 s and 1 GB, as promised.

Two shapes: one cell over 10,000 independent queries, the dearest for resampling, and ten cells over
1,000 queries of 400 filings. The sweeps are run without a tracking store; ``compare`` reads their
ledgers, and puts five answers each way side by side.

    python benchmarks/compare_sweeps.py [--trials 10000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scale import CELLS, ML_CONFIG
from watching import measured

MOST_SECONDS, MOST_MB = 10.0, 1_024.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A sweep's cells, and how many filings its queries come from; None makes each its own."""

    cells: int
    filings: int | None

    @property
    def name(self) -> str:
        queries = "independent queries" if self.filings is None else f"{self.filings} filings"
        return f"{self.cells} cell{'' if self.cells == 1 else 's'}, {queries}"


SHAPES = (Shape(1, None), Shape(CELLS, 400))


def make_sweep(folder: Path, trials: int, shape: Shape) -> None:
    """A folder with everything that a sweep of so many trials is made from."""
    folder.mkdir(parents=True)
    (folder / "ml_config.yaml").write_text(ML_CONFIG)
    models = max(1, shape.cells // 2)
    spec = {
        "name": "compare",
        "experiment": "Compare",
        "models": [f"model_{number}" for number in range(1, models + 1)],
        "prompts": [{"system": name, "query": "v1"} for name in ("v1", "v2")[: shape.cells]],
        "query_set": "queries.jsonl",
        "scorers": ["numeric", "citation"],
        "target": "scale_target:answer",
        "execution": {"concurrency": 16},
    }
    (folder / "sweep.yaml").write_text(json.dumps(spec))
    with (folder / "queries.jsonl").open("w") as lines:
        for number in range(trials // shape.cells):
            query = {
                "id": f"q{number:06d}",
                "query": f"What was the revenue of segment {number % 97}, in million {number}?",
                "expected_value": (number + (number % 7 == 0)) * 1_000_000,
            }
            if shape.filings is not None:
                query["cluster"] = f"filing-{number % shape.filings}"
            lines.write(json.dumps(query) + "\n")


def compared(folder: Path, trials: int, shape: Shape, rounds: int) -> bool:
    """Run two sweeps of this shape, compare them, print what it took; whether it is as promised."""
    make_sweep(folder, trials, shape)
    for _ in range(2):
        _done(folder, "run", "sweep.yaml", "--no-tracking", "--fresh", "--quiet")
    first = min(path.name for path in (folder / "sweep_results").iterdir() if path.is_dir())
    asked = ("compare", "--baseline-sweep", first, "--show", "5", "--format", "json")
    used = [measured(folder, *asked) for _ in range(rounds)]
    if any(one.exit_code for one in used):
        sys.exit((folder / "said.txt").read_text())
    seconds = statistics.median(one.wall_s for one in used)
    mb = max(one.mb for one in used)
    holds = seconds < MOST_SECONDS and mb < MOST_MB
    spread = f"{min(one.wall_s for one in used):.1f} to {max(one.wall_s for one in used):.1f}"
    print(
        f"| 2 x {trials:,} trials, {shape.name} | {seconds:.1f} s ({spread}) | "
        f"{statistics.median(one.cpu_s for one in used):.1f} s | {mb:.0f} MB | "
        f"{'holds' if holds else 'BROKEN'} |",
        flush=True,
    )
    return holds


def _done(folder: Path, *arguments: str) -> None:
    if measured(folder, *arguments).exit_code:
        sys.exit((folder / "said.txt").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000, help="of each of the two sweeps")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"| compare | wall | CPU | peak memory | < {MOST_SECONDS:.0f} s and 1 GB |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="compare-") as root:
        held = [
            compared(Path(root) / str(place), options.trials, shape, options.rounds)
            for place, shape in enumerate(SHAPES)
        ]
    raise SystemExit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
