"""When the disk gives out, everybody is told, nothing is torn, and room makes it go on."""

from __future__ import annotations

import os
import stat
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_parts import (
    a_cell,
    a_ledger,
    a_result,
    an_outcome,
    answer,
    begin,
    child,
    output_of,
    settle_all,
    some_queries,
)

from finrag_eval.errors import LedgerUnwritable
from finrag_eval.record.ledger import Ledger, LedgerReader

FILLS_THE_DISK = """
import random, resource, sys, threading
from decimal import Decimal
from pathlib import Path
from ledger_parts import a_cell, a_result, an_outcome, begin, some_queries
from finrag_eval.errors import LedgerUnwritable
from finrag_eval.record.ledger import Ledger

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
chance = random.Random(1)
told, recorded = [], []
with Ledger.open(Path(sys.argv[1])) as ledger:
    trials = iter(begin(ledger, [a_cell()], some_queries(1_000)))
    taking = threading.Lock()

    def work():
        try:
            while True:
                with taking:
                    trial = next(trials)
                    text = chance.randbytes(4_000).hex()
                attempt = ledger.reserve(trial_key=trial.key, cell="c", model_key="m",
                                         purpose="target", usd=Decimal("0.5"))
                ledger.settle(attempt, billed_usd=Decimal("0.25"), state="kept")
                ledger.append_outcome(
                    an_outcome(trial, result=a_result(answer=text)), recorded.append)
        except LedgerUnwritable as error:
            told.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    for later in (ledger.flush, lambda: ledger.end_session("failed", 1), ledger.spent):
        try:
            later()
        except LedgerUnwritable as error:
            told.append(str(error))
    print(ledger.failure is not None)
print(len(told), len(set(told)), told[0])
print(*recorded)
"""


def test_a_full_disk_stops_everybody_and_tears_nothing(tmp_path: Path) -> None:
    a_ledger(tmp_path).close()
    folder = tmp_path / "sweep-1"
    failed, told, recorded = output_of(child(FILLS_THE_DISK, str(folder))).splitlines()
    assert failed == "True"
    assert told.startswith(f"11 1 {folder}/ledger.sqlite: the ledger cannot be written (")
    assert told.endswith("Make room, then run `finrag-eval resume`")
    acknowledged = {int(outcome) for outcome in recorded.split()}
    assert acknowledged
    with Ledger.open(folder) as ledger:
        kept = {outcome for outcome, _ in ledger.answers().values()}
        assert acknowledged <= kept
        trials = begin(ledger, [a_cell()], some_queries(3))
        answer(ledger, trials[0])
        settle_all(ledger)
    with LedgerReader.open(folder) as reader:
        assert len(reader.result(max(kept))["answer"]) == 8_000
        assert reader._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_ledger_at_its_limit_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        trials = begin(ledger, [a_cell()], some_queries(500))
        answer(ledger, trials[0])
        settle_all(ledger)
        connection = ledger._writer._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        acknowledged: list[int] = []

        def fill() -> None:
            for trial in trials[1:]:
                result = a_result(answer=os.urandom(2_000).hex())
                ledger.append_outcome(an_outcome(trial, result=result), acknowledged.append)
            ledger.flush()

        with pytest.raises(LedgerUnwritable, match="database or disk is full"):
            fill()
        with pytest.raises(LedgerUnwritable, match="database or disk is full"):
            ledger.reserve(trial_key="k", cell="c", model_key="m", purpose="target", usd=Decimal(1))
        assert isinstance(ledger.failure, LedgerUnwritable)
    with LedgerReader.open(ledger.folder) as reader:
        assert {1, *acknowledged} <= set(reader.outcome_ids())


def test_a_read_only_folder_takes_no_new_ledger(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(LedgerUnwritable, match="the ledger cannot be written"):
        Ledger.create(blocked / "sweep", sweep_id="sweep", name="n")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root's rights to be refused")
def test_a_ledger_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    a_ledger(tmp_path).close()
    folder = tmp_path / "sweep-1"
    for path in (*tmp_path.parents[:2], tmp_path, folder):
        path.chmod(path.stat().st_mode | stat.S_IROTH | stat.S_IXOTH)
    told = output_of(
        child(
            "import os, sys\nfrom pathlib import Path\n"
            "from finrag_eval.errors import LedgerUnwritable\n"
            "from finrag_eval.record.ledger import Ledger\n"
            "os.setgid(65534), os.setuid(65534)\n"
            "try: Ledger.open(Path(sys.argv[1]))\n"
            "except LedgerUnwritable as error: print(error)\n",
            str(folder),
        )
    )
    assert "the ledger cannot be written ([Errno 13] Permission denied" in told
