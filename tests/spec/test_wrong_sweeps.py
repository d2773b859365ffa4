"""Each way to write a sweep wrongly gets its own message, word for word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Problems = Callable[..., list[str]]

KEYS = (
    "known: baseline, budget, environment, equivalence, execution, experiment, gate, limits, "
    "models, name, on_error, prompts, query_set, redact, repeats and 6 more"
)
KINDS = (
    "boolean, citation, contains, exact, grounded, judge, list, numeric, python, refusal, regex, "
    "rouge_l"
)
IN_ORDER = (
    "numeric, contains, exact, regex, boolean, list, rouge_l, citation, grounded, refusal, judge, "
    "python"
)

#: A line that is added (as line 6), and what is told of it.
ADDED = [
    ("repeets: 3", f"repeets: there is no key 'repeets'; did you mean 'repeats'? {KEYS}"),
    ("name: t", "name: the key 'name' stands here a second time; the first is in line 1; keep one"),
    ("environment: prod", "environment: 'prod' is not one of its values; "
     "did you mean 'production'? known: development, production"),
    ("repeats: 0", "repeats: 0 is impossible; write a whole number at least 1 and at most 1,000"),
    ("repeats: 1.5", "repeats: 1.5 is not whole; write a whole number"),
    ("repeats: 010", "repeats: 010 can be read in two ways, or is not finite; "
     "write a whole number in decimal digits"),
    ("repeats: '3'", "repeats: '3' is quoted, so it is text; take away the quotes: 3"),
    ("repeats: three", "repeats: is the text 'three'; write a whole number"),
    ("repeats: [3]", "repeats: is a list; write a whole number"),
    ("repeats:", "repeats: is empty; write a whole number"),
    ("reuse: 1", "reuse: is the number 1; write true or false"),
    ("budget: 5", "budget: is the number 5, where a mapping is wanted; "
     "its keys are: max_usd, warn_at, per_model, per_cell"),
    ("budget: {max_usd: -1}", "budget.max_usd: -1 is impossible; write an amount at least 0"),
    ("budget: {max_usd: .inf}", "budget.max_usd: .inf can be read in two ways, or is not finite; "
     "write an amount in USD, as in 5.00 in decimal digits"),
    ("budget: {max_usd: $5}", "budget.max_usd: is the text '$5'; "
     "write an amount in USD, as in 5.00"),
    ("budget: {max_usd: }", "budget.max_usd: is empty; write an amount in USD, as in 5.00"),
    ("budget: {max_usd: 1.0000000000000001}",
     "budget.max_usd: 1.0000000000000001 has too many digits; write at most 15 digits"),
    ("budget: {warn_at: 80}", "budget.warn_at: 80 is impossible; "
     "write a number above 0 and at most 1"),
    ("budget: {max: 5}", "budget.max: there is no key of budget 'max'; did you mean 'max_usd'? "
     "known: max_usd, per_cell, per_model, warn_at"),
    ("budget: {per_model: {chaep: 1}}", "budget.per_model.chaep: 'chaep' is not in this sweep; "
     "did you mean 'cheap'? known: cheap"),
    ("budget: {per_cell: {cheap.v1-v2: 1}}", "budget.per_cell.cheap.v1-v2: 'cheap.v1-v2' is not "
     "in this sweep; did you mean 'cheap.v1-v1'? known: cheap.v1-v1"),
    ("execution: {concurrency: 0}", "execution.concurrency: 0 is impossible; "
     "write a whole number at least 1 and at most 1,024"),
    ("execution: {backend: threads}", "execution.backend: 'threads' is not one of its values; "
     "did you mean 'threading'? known: dask, loky, threading"),
    ("execution: {timeout_s: 0}", "execution.timeout_s: 0 is impossible; write a number above 0"),
    ("execution: {timeout_s: 60}", "execution.attempt_timeout_s: an attempt may take 300 s, but "
     "the whole trial only 60 s; write a timeout_s that is no less than attempt_timeout_s"),
    ("execution: {backend: dask}", "execution.backend: backend dask needs address; "
     "write 'address: ...' beside it"),
    ("execution: {address: 'tcp://h:1'}", "execution.address: address is for backend dask alone; "
     "take it out, or write 'backend: dask'"),
    ("execution: {s3_uri: /tmp}", "execution.s3_uri: '/tmp' is no S3 address; "
     "write s3://bucket/prefix"),
    ("limits: {cheep: {rpm: 1}}", "limits.cheep: 'cheep' is not a model of this sweep; "
     "did you mean 'cheap'? known: cheap"),
    ("limits: {cheap: {rpm: 0}}", "limits.cheap.rpm: 0 is impossible; write a number above 0"),
    ("limits: {cheap: {}}", "limits.cheap: limits nothing; write rpm, tpm or both"),
    ("limits: {cheap: {rps: 1}}", "limits.cheap.rps: there is no limit 'rps'; "
     "did you mean 'rpm'? known: rpm, tpm"),
    ("on_error: {max_failed: 0.05}", "on_error.max_failed: 0.05 is neither; "
     "write a count, or a share with a percent sign, as in 5%"),
    ("on_error: {max_failed: 120%}", "on_error.max_failed: is neither a count nor a share; "
     "write a count, or a share of finished trials from 0% to 100%"),
    ("baseline: {model: cheap, system: v2, query: v1}", "baseline: the cell cheap.v2-v1 is not in "
     "the matrix of this sweep; did you mean 'cheap.v1-v1'? known: cheap.v1-v1"),
    ("baseline: {model: cheap, system: v1}", "baseline: has no query; "
     "write 'query: ...' (query template version)"),
    ("scorers: [numerical]", "scorers[0]: 'numerical' is not one of its values; "
     f"did you mean 'numeric'? known: {KINDS}"),
    ("scorers: [{name: mine}]", f"scorers[0].name: there is no scorer 'mine'; known: {KINDS}; "
     "for a name of your own add 'kind: ...'"),
    ("scorers: [{kind: exact}]",
     f"scorers[0]: a scorer without a name; write 'name: ...'; kinds: {IN_ORDER}"),
    ("scorers: [{name: numeric, tolerence: 1}]", "scorers[0].tolerence: there is no option of "
     "numeric 'tolerence'; did you mean 'tolerance'? known: tolerance"),
    ("scorers: [{name: regex, pattern: '('}]", "scorers[0].pattern: not a regular expression: "
     "missing ), unterminated subpattern at position 0; mend the pattern"),
    ("scorers: [judge]", "scorers[0]: has no model; "
     "write 'model: ...' (the model key that judges)"),
    ("scorers: [{name: judge, model: chep}]", "scorers[0].model: no model key 'chep' in "
     "ml_config.yaml; did you mean 'cheap'? known: cheap, dear, unpriced"),
    ("scorers: [{python: my_module.score}]", "scorers[0].python: 'my_module.score' is no "
     "function; write package.module:function"),
    ("scorers: [numeric, numeric]", "scorers[1]: 'numeric' stands here a second time; "
     "the first is in line 6; give it another 'name'"),
    ("gate: {score.numeric: {min_mean: 1}}", "gate.score.numeric: 'score.numeric' is not measured "
     "by this sweep; known: cost_usd, input_tokens, latency_llm_seconds, "
     "latency_retrieval_seconds, latency_total_seconds, output_tokens, total_tokens"),
    ("gate: {cost_usd: {min_delta: 1}}", "gate.cost_usd.min_delta: min_delta cannot be asked of "
     "cost_usd; rules: max_ratio, max_usd"),
    ("gate: {cost_usd: {max_ratio: 1}}", "gate.cost_usd.max_ratio: max_ratio compares with a "
     "baseline, and there is none; write 'baseline: {model, system, query}'"),
    ("gate: {cost_usd: {}}", "gate.cost_usd: has no rule; rules: max_ratio, max_usd"),
    ("gate: {cost_usd: {max_usd: no}}", "gate.cost_usd.max_usd: is the boolean false; "
     "write a number"),
    ("equivalence: {cost: 0.1}", "equivalence.cost: 'cost' is not measured by this sweep; "
     "did you mean 'cost_usd'? known: cost_usd, input_tokens, latency_llm_seconds, "
     "latency_retrieval_seconds, latency_total_seconds, output_tokens, total_tokens"),
    ("equivalence: {cost_usd: 0}", "equivalence.cost_usd: 0 is impossible; write a number above 0"),
    ("target: my_module.answer", "target: 'my_module.answer' is no target; "
     "write 'finrag', or package.module:callable"),
    ("tags: {version: 1.0}", "tags.version: 1.0 is read as the number 1.0; quote it: '1.0'"),
    ("tags: {status: x}", "tags.status: every run has a tag 'status' of its own; "
     "choose another name"),
    ("tags: {mlflow.user: x}", "tags.mlflow.user: every run has a tag 'mlflow.user' of its own; "
     "choose another name"),
    ("tags: {a=b: x}", "tags.a=b: 'a=b' cannot be the name of an MLflow tag; "
     "use letters, digits, '.', '_', '-', '/', ':' and spaces"),
    ("tracking: {artifacts: 'sample:0'}", "tracking.artifacts: 'sample:0' says nothing; "
     "write all, failed, sample:N or none"),
    ("redact: [answers]", "redact[0]: 'answers' is not one of its values; "
     "did you mean 'answer'? known: answer, context"),
    ("retrieval: {top_k: 0}", "retrieval.top_k: 0 is impossible; "
     "write a whole number at least 1 and at most 1,000"),
    ("retrieval: {corpus: gone.jsonl}", "retrieval.corpus: there is no gone.jsonl; "
     "check the path; it is relative to the file it is written in"),
    ("retrieval: {corpus: 'https://x/y'}", "retrieval.corpus: 'https://x/y' is no path; "
     "name a file or folder"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "problem"), ADDED, ids=[line for line, _ in ADDED])
def test_a_wrong_line_is_told_by_line_key_and_fix(
    line: str, problem: str, problems: Problems
) -> None:
    assert problems(line) == [f"sweep.yaml:6: {problem}"]


REPLACED = [
    ("name", "name: my sweep", ["1: name: 'my sweep' cannot stand in file and metric names; "
     "use letters, digits, '.', '_' and '-'"]),
    ("name", "name: ''", ["1: name: is empty; write text"]),
    ("name", "name: no", ["1: name: no is read as the boolean false; quote it: 'no'"]),
    ("name", "nmae: x", [f"1: nmae: there is no key 'nmae'; did you mean 'name'? {KEYS}"]),
    ("name", "", ["1: has no name; write 'name: ...' (the sweep's name; 'run' goes on by it)"]),
    ("models", "models: cheap", ["3: models: is the text 'cheap', where a list is wanted; "
     "write [cheap]"]),
    ("models", "models: []", ["3: models: is an empty list; name at least 1"]),
    ("models", "models:\n  - cheap\n  - cheap", ["5: models[1]: 'cheap' stands here a second "
     "time; the first is in line 4; name it once"]),
    ("models", "models: [chaep]", ["3: models[0]: no model key 'chaep' in ml_config.yaml; "
     "did you mean 'cheap'? known: cheap, dear, unpriced"]),
    ("prompts", "prompts: [{system: 2.10, query: v1}]", ["4: prompts[0].system: 2.10 is read as "
     "the number 2.1; quote it: '2.10'"]),
    ("prompts", "prompts: [{system: v3, query: v3}]", [
     "4: prompts[0].system: there is no system prompt 'v3'; known: 2.10, v1, v2",
     "4: prompts[0].query: there is no query template 'v3'; known: v1, v2"]),
    ("prompts", "prompts:\n  - {system: v1, query: v1}\n  - {system: v1, query: v1}", [
     "6: prompts[1]: 'v1/v1' stands here a second time; the first is in line 5; name it once"]),
    ("prompts", "prompts: [v1]", ["4: prompts[0]: is the text 'v1', where a mapping is wanted; "
     "its keys are: system, query"]),
    ("query_set", "query_set: gone.jsonl", ["5: query_set.path: there is no query set "
     "gone.jsonl; check the path; it is relative to the file it is written in"]),
    ("query_set", "query_set: {limit: 5}", ["5: query_set: has no path; write 'path: ...' "
     "(JSONL, JSON, CSV, YAML or Parquet, relative to this file)"]),
    ("query_set", "query_set: {path: questions.jsonl, limit: -1}", ["5: query_set.limit: -1 is "
     "impossible; write a whole number at least 1"]),
    ("query_set", "query_set: {path: questions.jsonl, sample: {seed: 1}}", [
     "5: query_set.sample: has no n; write 'n: ...' (how many)"]),
    ("query_set", "query_set: {path: questions.jsonl, where: {difficulty: {a: b}}}", [
     "5: query_set.where.difficulty: is a mapping; write a value, or a list of values"]),
    ("query_set", "query_set: {path: questions.jsonl, columns: {question: q}}", [
     "5: query_set.columns.question: 'question' is not one of its values; known: alt_values, "
     "answer_type, cluster, context, difficulty, evidence_ids, expected_answer, expected_value, "
     "id, query, should_refuse, tags, tickers, tolerance, unit and 1 more"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "line", "told"), REPLACED, ids=[line or f"no {key}" for key, line, _ in REPLACED]
)
def test_a_wrong_value_of_a_needed_key_is_told(
    key: str, line: str, told: list[str], problems: Problems
) -> None:
    assert problems(**{key: line}) == [f"sweep.yaml:{problem}" for problem in told]


def test_a_model_without_prices_is_refused_never_priced_at_0(problems: Problems) -> None:
    told = problems(models="models: [unpriced]")
    assert told[0] == (
        "ml_config.yaml:16: serving_models.unpriced: has no cost_per_1k_input, and no model is "
        "priced at 0 unsaid; write 'cost_per_1k_input: ...' in USD per 1,000 tokens (0 is a price)"
    )


def test_batch_mode_is_for_bedrock_models_with_bucket_and_role(problems: Problems) -> None:
    assert problems("execution: {mode: bedrock_batch}") == [
        "sweep.yaml:3: models[0]: 'cheap' is not a Bedrock model, and the mode is bedrock_batch; "
        "take it out, or use 'mode: on_demand'",
        "sweep.yaml:6: execution.mode: mode bedrock_batch needs s3_uri; "
        "write 's3_uri: ...' beside it",
        "sweep.yaml:6: execution.mode: mode bedrock_batch needs role_arn; "
        "write 'role_arn: ...' beside it",
    ]


BATCH = "mode: bedrock_batch, s3_uri: s3://b/p, role_arn: arn:aws:iam::111122223333:role/r"


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        (
            f"{{{BATCH}, min_records: 10, max_records: 5}}",
            "execution.min_records: a job needs 10 records and may have 5; "
            "write at most max_records",
        ),
        (
            f"{{{BATCH}, job_hours: 12}}",
            "execution.job_hours: 12 is impossible; write a whole number at least 24 "
            "and at most 168",
        ),
        (
            "{min_records: 10}",
            "execution.min_records: min_records is for mode bedrock_batch alone; "
            "take it out, or write 'mode: bedrock_batch'",
        ),
    ],
)
def test_keys_of_batch_jobs_are_checked(problems: Problems, execution: str, told: str) -> None:
    found = problems(models="models: [dear]", execution=f"execution: {execution}")
    assert found == [f"sweep.yaml:6: {told}"]


def test_a_target_of_ones_own_has_no_batch_jobs(problems: Problems) -> None:
    found = problems(
        models="models: [dear]", execution=f"execution: {{{BATCH}}}", target="target: json:dumps"
    )
    assert (
        "sweep.yaml:6: execution.mode: batch jobs hold the prompts of the built-in pipeline, not "
        "of json:dumps; write 'target: finrag', or 'mode: on_demand'"
    ) in found


def test_a_provider_that_cannot_be_asked_is_refused(problems: Problems, folder: object) -> None:
    from pathlib import Path

    with Path("ml_config.yaml").open("a") as config:
        config.write(
            "  local: {provider: bedrok, model_id: m, max_tokens: 5, "
            "cost_per_1k_input: 0, cost_per_1k_output: 0}\n"
        )
    assert problems(models="models: [local]") == [
        "sweep.yaml:3: models[0]: the provider 'bedrok' of 'local' is not one that can be asked; "
        "did you mean 'bedrock'? known: bedrock, rehearsal"
    ]


def test_what_is_wrong_by_itself_is_not_told_of_again(problems: Problems) -> None:
    told = problems(
        "scorers: [nmeric]",
        "gate: {score.numeric: {min_mean: 0.5}}",
        "budget: {per_cell: {cheap.v1-v1: 1}}",
        "baseline: {model: cheap, system: v1, query: v1}",
        prompts="prompts: [{system: 2.10, query: v1}]",
    )
    assert [line.split(" ")[1] for line in told] == ["prompts[0].system:", "scorers[0]:"]
