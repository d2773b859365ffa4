"""Exact figures by company, fiscal year and metric.

Enters: the table that comes with the package, or a user's own CSV or Parquet file with the columns
of ``kpi_facts``. Leaves: ``Fact`` values, looked up by key and never guessed. Knows no question.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path

from finrag_eval.errors import InvalidInput, Problem

EMBEDDED = Path(__file__).parent / "embedded" / "kpi_facts.csv"

_REQUIRED = ("ticker", "fiscal_year", "metric_key", "value", "unit")
_COLUMNS = (
    *_REQUIRED,
    *("restated_value", "company_name", "metric_label", "status", "level", "source"),
    *("accession_no", "gaap_tag", "restated_in", "note"),
)
_MOST_PROBLEMS = 20
_HOW_TO_WRITE = "write ticker, fiscal year and metric, and the value as a plain number"

_Rows = Sequence[tuple[int, Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One figure: ``value`` in ``unit`` (``USD`` is whole dollars), as first reported.

    ``restated_value`` is what a later filing shows instead, None where none is known. ``status``
    says how the figure was checked, and ``source`` where it was read.
    """

    ticker: str
    company_name: str
    fiscal_year: int
    metric_key: str
    value: Decimal
    unit: str
    metric_label: str = ""
    status: str = ""
    level: str = ""
    source: str = ""
    accession_no: str = ""
    gaap_tag: str = ""
    restated_value: Decimal | None = None
    restated_in: str = ""
    note: str = ""

    @property
    def fact_id(self) -> str:
        """``TICKER:YEAR:METRIC``, the id that citations use."""
        return f"{self.ticker}:{self.fiscal_year}:{self.metric_key}"


class KpiStore:
    """All facts of one table; read-only, so threads may share it."""

    def __init__(self, facts: Iterable[Fact], *, digest: str) -> None:
        self.digest = digest
        self._facts = {(fact.ticker, fact.fiscal_year, fact.metric_key): fact for fact in facts}
        self._years: dict[str, list[int]] = {}
        self._metric_years: dict[tuple[str, str], list[int]] = {}
        self.company_names: dict[str, str] = {}
        self.metric_labels: dict[str, str] = {}
        for fact in sorted(self._facts.values(), key=lambda fact: fact.fiscal_year):
            self._learn(fact)

    @classmethod
    def embedded(cls) -> KpiStore:
        """The table of the package, read once."""
        return _embedded_store()

    @classmethod
    def from_file(cls, path: str | Path) -> KpiStore:
        """The facts of a CSV or Parquet file; every problem of the file at once as InvalidInput."""
        file = Path(path)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InvalidInput([_unreadable(file, error.strerror or str(error))]) from error
        problems: list[Problem] = []
        rows = _parquet_rows if file.suffix.lower() in {".parquet", ".pq"} else _csv_rows
        facts = tuple(_facts(*rows(file, content), str(file), problems))
        if problems:
            raise InvalidInput(problems[:_MOST_PROBLEMS])
        if not facts:
            raise InvalidInput([_problem(str(file), 1, "no facts in it", "add a row a figure")])
        return cls(facts, digest=hashlib.sha256(content).hexdigest())

    def fact(self, ticker: str, fiscal_year: int, metric_key: str) -> Fact | None:
        """The figure; None where the table has none."""
        return self._facts.get((ticker, fiscal_year, metric_key))

    def years(self, ticker: str, metric_key: str | None = None) -> Sequence[int]:
        """Fiscal years with any figure, or with one for ``metric_key``, ascending."""
        if metric_key is None:
            return self._years.get(ticker, ())
        return self._metric_years.get((ticker, metric_key), ())

    @property
    def tickers(self) -> Sequence[str]:
        """All companies, in the order of the alphabet."""
        return sorted(self._years)

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def _learn(self, fact: Fact) -> None:
        years = self._years.setdefault(fact.ticker, [])
        if not years or years[-1] != fact.fiscal_year:
            years.append(fact.fiscal_year)
        self._metric_years.setdefault((fact.ticker, fact.metric_key), []).append(fact.fiscal_year)
        if fact.company_name:
            self.company_names[fact.ticker] = fact.company_name
        if fact.metric_label or fact.metric_key not in self.metric_labels:
            self.metric_labels[fact.metric_key] = fact.metric_label


@cache
def _embedded_store() -> KpiStore:
    return KpiStore.from_file(EMBEDDED)


def _facts(names: Sequence[str], rows: _Rows, file: str, problems: list[Problem]) -> Iterator[Fact]:
    problems.extend(_missing_columns(names, file))
    if problems:
        return
    positions = [names.index(name) if name in names else None for name in _COLUMNS]
    seen: dict[tuple[str, int, str], int] = {}
    for line, cells in rows:
        width = len(cells)
        texts = ["" if at is None or at >= width else cells[at] for at in positions]
        try:
            fact = _fact(*texts)
        except ValueError as error:
            problems.append(_problem(file, line, str(error), _HOW_TO_WRITE))
            continue
        key = (fact.ticker, fact.fiscal_year, fact.metric_key)
        if key in seen:
            told = f"{fact.fact_id} stands in line {seen[key]} already"
            problems.append(_problem(file, line, told, "keep one row a figure"))
        seen[key] = line
        yield fact


def _fact(
    ticker: str, year: str, metric: str, value: str, unit: str, restated: str, *texts: str
) -> Fact:
    if not ticker or not metric:
        raise ValueError("ticker or metric_key is empty")
    name, label, status, level, source, accession_no, gaap_tag, restated_in, note = texts
    return Fact(
        ticker=ticker.upper(),
        company_name=name,
        fiscal_year=_year(year),
        metric_key=metric,
        value=_figure(value),
        unit=unit,
        metric_label=label,
        status=status,
        level=level,
        source=source,
        accession_no=accession_no,
        gaap_tag=gaap_tag,
        restated_value=_figure(restated) if restated else None,
        restated_in=restated_in,
        note=note,
    )


def _figure(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a figure") from None
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a figure")
    return value


def _year(text: str) -> int:
    number = _figure(text)
    if number != int(number):
        raise ValueError(f"fiscal_year {text!r} is not a year")
    return int(number)


def _csv_rows(file: Path, content: bytes) -> tuple[Sequence[str], _Rows]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput([_unreadable(file, f"not UTF-8: byte {error.start}")]) from error
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        names = next(reader, [])
        return names, [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise InvalidInput([_unreadable(file, str(error))]) from error


def _parquet_rows(file: Path, content: bytes) -> tuple[Sequence[str], _Rows]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(io.BytesIO(content))
    except (arrow.ArrowException, OSError) as error:
        raise InvalidInput([_unreadable(file, f"not a Parquet file: {error}")]) from error
    columns = [
        ["" if value is None else str(value) for value in column.to_pylist()]
        for column in table.columns
    ]
    return table.column_names, list(enumerate(zip(*columns, strict=True), start=2))


def _missing_columns(names: Sequence[str], file: str) -> list[Problem]:
    have = ", ".join(names) or "none"
    return [
        _problem(file, 1, f"no column {name}", f"needed are {', '.join(_REQUIRED)}; there: {have}")
        for name in _REQUIRED
        if name not in names
    ]


def _problem(file: str, line: int, message: str, fix: str) -> Problem:
    return Problem(file=file, line=line, key="kpi_facts", message=message, fix=fix)


def _unreadable(file: Path, reason: str) -> Problem:
    return Problem(
        file=str(file), key="kpi_facts", message=reason, fix="give a CSV or Parquet file of facts"
    )
