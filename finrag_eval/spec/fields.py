"""The keys of a sweep file, as one table: reader and JSON Schema are both made from it.

Defaults are those of ``domain``. Knows nothing of other keys: what must hold between them is in
``crosschecks``.
"""

from __future__ import annotations

from finrag_eval.domain import BudgetSpec, ExecutionSpec, RetrievalSettings, TrackingSpec
from finrag_eval.spec.located import Value
from finrag_eval.spec.scorer_kinds import CALLABLE, Scorer
from finrag_eval.spec.shapes import (
    Anything,
    Choice,
    Field,
    FilePath,
    Flag,
    Label,
    ListOf,
    MapOf,
    Money,
    Number,
    Section,
    Text,
    name,
    whole,
)
from finrag_eval.spec.sweep_shapes import Either, MostFailed, Wanted

#: The word for the facts and passages that come with the package.
EMBEDDED = "embedded"

#: Fields of a query; ``columns`` may give each another name in the file.
QUERY_FIELDS = (
    "id",
    "query",
    "expected_answer",
    "expected_value",
    "alt_values",
    "unit",
    "tolerance",
    "should_refuse",
    "answer_type",
    "tickers",
    "years",
    "evidence_ids",
    "context",
    "cluster",
    "difficulty",
    "tags",
)

GATE_RULES = {
    "min_delta": "the difference to the baseline is above this, by its interval's lower end",
    "max_ratio": "the ratio to the baseline is below this, by its interval's upper end",
    "min_mean": "the cell's mean is at least this",
    "max_p95_seconds": "the cell's 95th percentile is at most this many seconds",
    "max_usd": "the cell's total is at most this many USD",
}

_BUDGET = BudgetSpec()
_EXECUTION = ExecutionSpec()
_RETRIEVAL = RetrievalSettings()
_TRACKING = TrackingSpec()
_LABEL = Text(
    longest=250, pattern=r"[^\x00-\x1f]+", pattern_says="has control characters", fix="remove them"
)
_TAG = Text(
    longest=250,
    pattern=r"[A-Za-z0-9_./: -]+",
    pattern_says="cannot be the name of an MLflow tag",
    fix="use letters, digits, '.', '_', '-', '/', ':' and spaces",
)


def _as_path(value: Value) -> Value | None:
    """``query_set: questions.jsonl`` as the mapping that it stands for."""
    if value.kind in ("mapping", "list", "null"):
        return None
    return value._replace(kind="mapping", content={"path": value})


PROMPTS = Section(
    fields=(
        Field(name="system", shape=name(60), doc="system prompt version", required=True),
        Field(name="query", shape=name(60), doc="query template version", required=True),
    ),
    what="kind of prompt",
)

QUERY_SET = Section(
    fields=(
        Field(
            name="path",
            shape=FilePath(),
            doc="JSONL, JSON, CSV, YAML or Parquet, relative to this file",
            required=True,
        ),
        Field(
            name="columns",
            shape=MapOf(item=Text(), keys=Choice(QUERY_FIELDS)),
            doc="other names of fields in the file: {query: question_text}",
        ),
        Field(
            name="where",
            shape=MapOf(item=Wanted()),
            doc="only queries with one of these values: {difficulty: [easy]}",
        ),
        Field(name="ids", shape=ListOf(item=Label()), doc="only these queries"),
        Field(
            name="sample",
            shape=Section(
                fields=(
                    Field(name="n", shape=whole(), doc="how many", required=True),
                    Field(
                        name="seed", shape=whole(0), doc="another seed, other queries", default=0
                    ),
                ),
                what="key of sample",
            ),
            doc="so many queries, chosen by seed and id, in the file's order",
        ),
        Field(name="limit", shape=whole(), doc="at most so many queries, from the top"),
    ),
    what="key of query_set",
)

RETRIEVAL = Section(
    fields=(
        Field(name="include_kpi", shape=Flag(), doc="exact figures", default=True),
        Field(name="include_rag", shape=Flag(), doc="passages of text", default=True),
        Field(name="top_k", shape=whole(1, 1000), doc="passages at most", default=_RETRIEVAL.top_k),
        Field(name="retriever", shape=Choice(("bm25", "s3vectors")), doc="who finds passages"),
        Field(
            name="corpus",
            shape=FilePath(words=(EMBEDDED,)),
            doc="passages as JSONL or Parquet, or 'embedded'",
        ),
        Field(
            name="kpi_facts",
            shape=FilePath(words=(EMBEDDED,)),
            doc="facts as CSV or Parquet, or 'embedded'",
        ),
        Field(name="options", shape=Anything(), doc="options of the retriever"),
    ),
    what="key of retrieval",
)

BUDGET = Section(
    fields=(
        Field(name="max_usd", shape=Money(), doc="the sweep's cap; never passed"),
        Field(
            name="warn_at",
            shape=Number(above=0, high=1),
            doc="share of the cap at which a notice appears",
            default=_BUDGET.warn_at,
        ),
        Field(name="per_model", shape=MapOf(item=Money()), doc="caps by model key"),
        Field(name="per_cell", shape=MapOf(item=Money()), doc="caps by cell: {KEY.v1-v1: 0.50}"),
    ),
    what="key of budget",
)

EXECUTION = Section(
    fields=(
        Field(
            name="backend",
            shape=Choice(("threading", "loky", "dask")),
            doc="joblib's backend",
            default=_EXECUTION.backend,
        ),
        Field(
            name="mode",
            shape=Choice(("on_demand", "bedrock_batch")),
            doc="call by call, or Bedrock batch jobs at half the price",
            default=_EXECUTION.mode,
        ),
        Field(
            name="concurrency",
            shape=whole(1, 1024),
            doc="trials in flight at most",
            default=_EXECUTION.concurrency,
        ),
        Field(
            name="attempt_timeout_s",
            shape=Number(above=0),
            doc="seconds of silence on the socket after which an attempt is given up",
            default=_EXECUTION.attempt_timeout_s,
        ),
        Field(
            name="timeout_s",
            shape=Number(above=0),
            doc="seconds for a whole trial, waits for limits not counted",
            default=_EXECUTION.timeout_s,
        ),
        Field(
            name="max_attempts",
            shape=whole(1, 100),
            doc="calls of one trial at most",
            default=_EXECUTION.max_attempts,
        ),
        Field(
            name="grace_s",
            shape=Number(low=0),
            doc="seconds that answers in flight get after Ctrl-C",
            default=_EXECUTION.grace_s,
        ),
        Field(name="address", shape=Text(), doc="the Dask scheduler: tcp://HOST:PORT"),
        Field(
            name="s3_uri",
            shape=Text(
                pattern=r"s3://[^/]+(/.*)?",
                pattern_says="is no S3 address",
                fix="write s3://bucket/prefix",
            ),
            doc="where batch jobs read and write: s3://bucket/prefix",
        ),
        Field(
            name="role_arn",
            shape=Text(
                pattern=r"arn:[\w-]+:iam::\d{12}:role/.+",
                pattern_says="is no role",
                fix="write its ARN: arn:aws:iam::ACCOUNT:role/NAME",
            ),
            doc="the role that batch jobs run as",
        ),
        Field(
            name="min_records",
            shape=whole(),
            doc="records that a batch job needs at least: the account's quota (100)",
        ),
        Field(
            name="max_records",
            shape=whole(),
            doc="records that a batch job may have: the account's quota (50,000)",
        ),
        Field(
            name="job_hours",
            shape=whole(24, 168),
            doc="hours that a batch job may take (24)",
        ),
        Field(
            name="poll_s",
            shape=Number(above=0),
            doc="seconds between two looks at batch jobs (60)",
        ),
    ),
    what="key of execution",
)

LIMIT = Section(
    fields=(
        Field(name="rpm", shape=Number(above=0), doc="requests a minute"),
        Field(name="tpm", shape=Number(above=0), doc="tokens a minute"),
    ),
    what="limit",
)

TRACKING = Section(
    fields=(
        Field(
            name="lane",
            shape=Choice(("auto", "public", "bulk")),
            doc="how runs are written",
            default=_TRACKING.lane,
        ),
        Field(
            name="artifacts",
            shape=Text(
                pattern=r"all|failed|none|sample:[1-9]\d*",
                pattern_says="says nothing",
                fix="write all, failed, sample:N or none",
            ),
            doc="which runs get artifacts: all, failed, sample:N or none",
            default=_TRACKING.artifacts,
        ),
        Field(
            name="traces", shape=Flag(), doc="one MLflow trace a trial", default=_TRACKING.traces
        ),
        Field(
            name="on_unreachable",
            shape=Choice(("auto", "stop", "go_on")),
            doc="what to do when the store is away at the start",
            default=_TRACKING.on_unreachable,
        ),
    ),
    what="key of tracking",
)

SWEEP = Section(
    fields=(
        Field(
            name="name", shape=name(80), doc="the sweep's name; 'run' goes on by it", required=True
        ),
        Field(name="experiment", shape=_LABEL, doc="the MLflow experiment", required=True),
        Field(
            name="environment",
            shape=Choice(("development", "production")),
            doc="a tag on every run",
            default="development",
        ),
        Field(
            name="models",
            shape=ListOf(item=Text()),
            doc="model keys of ml_config.yaml",
            required=True,
        ),
        Field(
            name="prompts",
            shape=ListOf(item=PROMPTS),
            doc="prompt versions: [{system: v1, query: v1}]",
            required=True,
        ),
        Field(
            name="query_set",
            shape=Either(full=QUERY_SET, short=FilePath(), widen=_as_path),
            doc="the questions: a path, or a mapping with path, limit, sample, where, ids, columns",
            required=True,
        ),
        Field(name="retrieval", shape=RETRIEVAL, doc="what makes the context", default={}),
        Field(name="repeats", shape=whole(1, 1000), doc="trials of each query", default=1),
        Field(
            name="scorers",
            shape=ListOf(item=Scorer(), fewest=0),
            doc="how answers are scored: names, or mappings with options",
            default=[],
        ),
        Field(name="budget", shape=BUDGET, doc="caps in USD", default={}),
        Field(name="execution", shape=EXECUTION, doc="how trials are run", default={}),
        Field(name="limits", shape=MapOf(item=LIMIT), doc="rates by model key", default={}),
        Field(
            name="on_error",
            shape=Section(
                fields=(
                    Field(
                        name="max_failed",
                        shape=MostFailed(),
                        doc="failed trials past which the sweep stops: a count, or 5%",
                    ),
                ),
                what="key of on_error",
            ),
            doc="when to give up",
            default={},
        ),
        Field(
            name="baseline",
            shape=Section(
                fields=(
                    Field(name="model", shape=Text(), doc="model key", required=True),
                    *PROMPTS.fields,
                ),
                what="key of baseline",
            ),
            doc="the cell that others are compared with",
        ),
        Field(
            name="gate",
            shape=MapOf(
                item=Section(
                    fields=tuple(
                        Field(name=rule, shape=Number(), doc=doc)
                        for rule, doc in GATE_RULES.items()
                    ),
                    what="rule",
                )
            ),
            doc="what must hold, by metric: {score.numeric: {min_delta: -0.02}}",
            default={},
        ),
        Field(
            name="equivalence",
            shape=MapOf(item=Number(above=0)),
            doc="differences too small to matter, by metric: {score.numeric: 0.02}; "
            "for cost, latency and tokens a share of the baseline",
            default={},
        ),
        Field(
            name="target",
            shape=Text(
                pattern=f"finrag|{CALLABLE.pattern}",
                pattern_says="is no target",
                fix="write 'finrag', or package.module:callable",
            ),
            doc="'finrag', or package.module:callable",
            default="finrag",
        ),
        Field(
            name="tags",
            shape=MapOf(item=_LABEL, keys=_TAG),
            doc="extra tags on every run",
            default={},
        ),
        Field(name="tracking", shape=TRACKING, doc="how MLflow is written", default={}),
        Field(
            name="redact",
            shape=ListOf(item=Choice(("answer", "context")), fewest=0),
            doc="texts that are not kept",
            default=[],
        ),
        Field(
            name="reuse",
            shape=Flag(),
            doc="take answers of earlier sweeps for equal trials",
            default=False,
        ),
    ),
    what="key",
)
