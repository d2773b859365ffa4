"""Models and prices are read exactly; what is broken is refused when it is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from finrag_eval.domain import Location, ModelConfig
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.spec.ml_config import (
    MlConfig,
    PipelineConfig,
    find_ml_config,
    read_ml_config,
)
from finrag_eval.spec.model_entries import entry_of, model_from_entry
from finrag_eval.spec.model_families import output_burndown_of, sampling_of

PRICES = "cost_per_1k_input: 0.001, cost_per_1k_output: 0.005"
PLAIN = f"model_id: m, max_tokens: 10, {PRICES}"

Read = Callable[[str], MlConfig]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads a config of that text."""
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> MlConfig:
        Path("ml_config.yaml").write_text(text)
        problems: list[Problem] = []
        config = read_ml_config(Path("ml_config.yaml"), problems=problems)
        assert problems == []
        assert config is not None
        return config

    return read


def entry(read: Read, fields: str, key: str = "m") -> ModelConfig:
    config = read(f"serving_models:\n  {key}: {{{fields}}}\n")
    return config.model(key)


def broken(read: Read, fields: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        entry(read, fields)
    return [str(problem) for problem in caught.value.problems]


def problems_of(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    Path("ml_config.yaml").write_text(text)
    problems: list[Problem] = []
    assert read_ml_config(Path("ml_config.yaml"), problems=problems) is None
    return [str(problem) for problem in problems]


def test_prices_are_the_decimals_that_were_written(read: Read) -> None:
    fields = "model_id: m, max_tokens: 10, cost_per_1k_input: 3.5e-5, cost_per_1k_output: 0.10"
    prices = entry(read, fields).prices
    assert prices.cost_per_1k_input == Decimal("0.000035")
    assert str(prices.cost_per_1k_output) == "0.10"
    assert prices.cost_per_1k_cache_read is None


def test_zero_is_a_price_when_it_is_written(read: Read) -> None:
    fields = "model_id: m, max_tokens: 10, cost_per_1k_input: 0, cost_per_1k_output: 0"
    assert entry(read, fields).prices.cost_per_1k_input == 0


def test_the_provider_is_bedrock_unless_said(read: Read) -> None:
    assert entry(read, PLAIN).provider == "bedrock"
    assert entry(read, f"{PLAIN}, provider: other").provider == "other"


def test_a_model_is_shown_by_its_key_without_a_display_name(read: Read) -> None:
    assert entry(read, PLAIN, key="fast").display_name == "fast"


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        (
            "model_id: m, max_tokens: 10",
            [
                "ml_config.yaml:2: serving_models.m: has no cost_per_1k_input, and no model is "
                "priced at 0 unsaid; write 'cost_per_1k_input: ...' in USD per 1,000 tokens "
                "(0 is a price)",
                "ml_config.yaml:2: serving_models.m: has no cost_per_1k_output, and no model is "
                "priced at 0 unsaid; write 'cost_per_1k_output: ...' in USD per 1,000 tokens "
                "(0 is a price)",
            ],
        ),
        (
            "model_id: m, max_tokens: 10, cost_per_1k_inputs: 1, cost_per_1k_output: 1",
            [
                "ml_config.yaml:2: serving_models.m: has no cost_per_1k_input, and no model is "
                "priced at 0 unsaid; write 'cost_per_1k_input: ...' in USD per 1,000 tokens "
                "(0 is a price); is 'cost_per_1k_inputs' meant for it?"
            ],
        ),
        (
            f"model_id: m, {PRICES}",
            [
                "ml_config.yaml:2: serving_models.m: has no max_tokens; "
                "write 'max_tokens: ...' (output tokens at most)"
            ],
        ),
        (
            f"max_tokens: 10, {PRICES}",
            [
                "ml_config.yaml:2: serving_models.m: has no model_id; "
                "write 'model_id: ...' (the provider's id of the model)"
            ],
        ),
        (
            "model_id: m, max_tokens: 10, cost_per_1k_input: -1, cost_per_1k_output: '1'",
            [
                "ml_config.yaml:2: serving_models.m.cost_per_1k_input: -1 is impossible; "
                "write an amount at least 0",
                "ml_config.yaml:2: serving_models.m.cost_per_1k_output: '1' is quoted, so it is "
                "text; take away the quotes: 1",
            ],
        ),
        (
            f"{PLAIN}, temperature: 1.5",
            ["ml_config.yaml:2: serving_models.m.temperature: 1.5 is impossible; write 0 to 1"],
        ),
        (
            f"{PLAIN}, max_tokens: 20",
            [
                "ml_config.yaml:2: serving_models.m.max_tokens: the key 'max_tokens' stands here "
                "a second time; the first is in line 2; keep one"
            ],
        ),
        (
            f"{PLAIN}, guardrail: {{id: g}}",
            [
                "ml_config.yaml:2: serving_models.m.guardrail: has no version; "
                "write 'version: ...' (its version)"
            ],
        ),
        (
            f"{PLAIN}, service_tier: fast",
            [
                "ml_config.yaml:2: serving_models.m.service_tier: 'fast' is not one of its "
                "values; known: default, flex, priority, reserved"
            ],
        ),
        (
            f"{PLAIN}, cache_point: true, cache_ttl: 1h, cost_per_1k_cache_read: 0.0001",
            [
                "ml_config.yaml:2: serving_models.m.cache_point: has no cost_per_1k_cache_write; "
                "write 'cost_per_1k_cache_write: ...' in USD per 1,000 tokens (0 is a price)",
                "ml_config.yaml:2: serving_models.m.cache_ttl: has no cost_per_1k_cache_write_1h; "
                "write 'cost_per_1k_cache_write_1h: ...' in USD per 1,000 tokens (0 is a price)",
            ],
        ),
        (
            f"{PLAIN}, service_tier: priority, tier_prices: {{flex: {{{PRICES}}}}}",
            [
                "ml_config.yaml:2: serving_models.m.service_tier: 'priority' has no prices; "
                "write 'tier_prices: {priority: ...}' with the prices of that tier"
            ],
        ),
        (
            f"{PLAIN}, cache_ttl: 2h",
            [
                "ml_config.yaml:2: serving_models.m.cache_ttl: '2h' is not one of its values; "
                "known: 1h, 5m"
            ],
        ),
        (
            f"{PLAIN}, stop_sequences: END",
            [
                "ml_config.yaml:2: serving_models.m.stop_sequences: is the text 'END', where a "
                "list is wanted; write [END]"
            ],
        ),
        (
            f"{PLAIN}, provider: rehearsal",
            [
                "ml_config.yaml:2: serving_models.m: a rehearsal without a variant; "
                "write 'variant: kpi|narrative'"
            ],
        ),
    ],
)
def test_an_entry_that_is_wrong_is_refused_when_it_is_used(
    read: Read,
    fields: str,
    problems: list[str],
) -> None:
    assert broken(read, fields) == problems


@pytest.mark.parametrize(
    "key", ["aws_secret_access_key", "aws_access_key_id", "api_key", "password", "session_token"]
)
def test_secrets_are_refused_since_entries_are_recorded(read: Read, key: str) -> None:
    told = broken(read, f"{PLAIN}, client: {{{key}: abc}}")
    assert told == [
        f"ml_config.yaml:2: serving_models.m.{key}: looks like a secret, and what is here is "
        "recorded; remove it; use an AWS profile ('profile: NAME'), or environment variables"
    ]


def test_a_broken_entry_leaves_the_others_usable(read: Read) -> None:
    config = read(f"serving_models:\n  bad: {{model_id: m}}\n  good: {{{PLAIN}}}\n  note: text\n")
    assert set(config.models) == {"good"}
    assert set(config.broken) == {"bad", "note"}


def test_an_unknown_key_is_told_with_the_nearest_one(read: Read) -> None:
    config = read(f"serving_models:\n  fast: {{{PLAIN}}}\n  slow: {{{PLAIN}}}\n")
    with pytest.raises(InvalidInput) as caught:
        config.model("fsat", Location(file="sweep.yaml", line=7), "models[0]")
    assert str(caught.value) == (
        "sweep.yaml:7: models[0]: no model key 'fsat' in ml_config.yaml; "
        "did you mean 'fast'? known: fast, slow"
    )


def test_without_a_key_the_default_model_is_taken(read: Read) -> None:
    config = read(f"serving_models:\n  default_serving_model: fast\n  fast: {{{PLAIN}}}\n")
    assert config.model().key == "fast"


def test_without_key_and_default_it_says_what_to_name(read: Read) -> None:
    config = read(f"serving_models:\n  fast: {{{PLAIN}}}\n")
    with pytest.raises(InvalidInput) as caught:
        config.model()
    assert str(caught.value) == (
        "ml_config.yaml: no model was named, and there is no default_serving_model; "
        "name a model, or write 'default_serving_model: KEY' under serving_models"
    )


def test_a_borrower_has_the_lenders_prices_and_tiers(read: Read) -> None:
    config = read(
        f"serving_models:\n  a: {{{PLAIN}, tier_prices: {{batch: {{{PRICES}}}}}}}\n"
        "  b: {provider: rehearsal, variant: kpi, model_id: r, max_tokens: 5, price_as: a}\n"
    )
    lender, borrower = config.model("a"), config.model("b")
    assert borrower.prices == lender.prices
    assert borrower.tier_prices == lender.tier_prices
    assert borrower.price_as == "a"
    assert borrower.cost_basis == "rehearsal"


@pytest.mark.parametrize(
    ("price_as", "message"),
    [
        ("aa", "no model key 'aa' here; did you mean 'a'? known: a, bad, c"),
        ("c", "the entry 'c' has no prices of its own; name the entry that it takes them from: a"),
        ("b", "the entry 'b' has no prices of its own; name the entry that it takes them from: b"),
        ("bad", "the entry 'bad' is not usable itself; has no max_tokens"),
    ],
)
def test_prices_are_borrowed_from_an_entry_that_has_them(
    read: Read,
    price_as: str,
    message: str,
) -> None:
    offline = "provider: rehearsal, variant: kpi, model_id: r, max_tokens: 5"
    config = read(
        f"serving_models:\n  a: {{{PLAIN}}}\n  b: {{{offline}, price_as: {price_as}}}\n"
        f"  c: {{{offline}, price_as: a}}\n  bad: {{model_id: m}}\n"
    )
    with pytest.raises(InvalidInput) as caught:
        config.model("b")
    assert str(caught.value) == f"ml_config.yaml:3: serving_models.b.price_as: {message}"


CLAUDE_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def test_where_a_model_takes_only_one_temperature_is_sent(read: Read) -> None:
    fields = f"model_id: '{CLAUDE_45}', max_tokens: 10, temperature: 0.1, top_p: 0.9, {PRICES}"
    config = read(f"serving_models:\n  m: {{{fields}}}\n")
    model = config.model("m")
    assert (model.temperature, model.top_p) == (0.1, None)
    assert config.warnings["m"] == (
        f"ml_config.yaml:2: m: {CLAUDE_45} takes temperature or top_p, not both; "
        "temperature 0.1 is sent, top_p 0.9 is not",
    )


def test_a_model_that_refuses_sampling_gets_none(read: Read) -> None:
    fields = f"model_id: global.anthropic.claude-sonnet-5, max_tokens: 10, top_p: 0.9, {PRICES}"
    config = read(f"serving_models:\n  m: {{{fields}}}\n")
    assert config.model("m").top_p is None
    assert config.warnings["m"] == (
        "ml_config.yaml:2: m: global.anthropic.claude-sonnet-5 refuses top_p; not sent",
    )


@pytest.mark.parametrize(
    ("model_id", "sampling", "burndown"),
    [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "both", 1),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "both", 5),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "both", 5),
        ("us.anthropic.claude-opus-4-20250514-v1:0", "both", 5),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "one", 5),
        (CLAUDE_45, "one", 5),
        ("global.anthropic.claude-sonnet-4-6", "one", 5),
        ("global.anthropic.claude-opus-4-7", "none", 5),
        ("global.anthropic.claude-sonnet-5-5-v1:0", "none", 5),
        ("global.anthropic.claude-haiku-5-5-v1:0", "none", 5),
        ("global.anthropic.claude-fable-5-1", "none", 5),
        ("amazon.nova-micro-v1:0", "both", 1),
        ("us.meta.llama3-1-70b-instruct-v1:0", "both", 1),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x", "both", 1),
    ],
)
def test_families_are_told_by_the_model_id(model_id: str, sampling: str, burndown: int) -> None:
    assert sampling_of(model_id) == sampling
    assert output_burndown_of(model_id) == burndown


def test_unknown_keys_are_kept_as_settings_and_typos_are_warned_of(read: Read) -> None:
    fields = f"{PLAIN}, temperatur: 0.1, use_case: tests, rpm: 50, notes: {{a: [1, 2]}}"
    config = read(f"serving_models:\n  m: {{{fields}}}\n")
    settings = config.model("m").settings
    assert settings["use_case"] == "tests"
    assert settings["notes"] == {"a": [1, 2]}
    assert settings["rpm"] == 50
    assert config.warnings["m"] == (
        "ml_config.yaml:2: m: 'temperatur' is no known key and is passed on; "
        "did you mean 'temperature'?",
    )


def test_a_price_per_million_is_warned_of(read: Read) -> None:
    fields = "model_id: m, max_tokens: 10, cost_per_1k_input: 1.10, cost_per_1k_output: 0.005"
    config = read(f"serving_models:\n  m: {{{fields}}}\n")
    assert config.warnings["m"] == (
        "ml_config.yaml:2: m: cost_per_1k_input 1.10 looks like a price per million tokens",
    )


def test_a_file_of_other_programs_loads_as_it_is(read: Read) -> None:
    config = read(
        "storage:\n  bucket: b\n  bucket: twice\n  aws_secret_access_key: theirs\n"
        "embedding:\n  models: [{dims: 1024}, no, 010]\n"
        "costs: {budget_usd: 5.00}\n"
        "serving_models:\n"
        "  older:\n    model_id: us.anthropic.claude-3-5-haiku-20241022-v1:0\n"
        "    display_name: Older\n    max_tokens: 4096\n    temperature: 0.1\n    top_p: 0.9\n"
        "    cost_per_1k_input: 0.001   # per thousand\n    cost_per_1k_output: 0.005\n"
        "    context_window: 200000\n    use_case: development\n    notes: routed\n"
        "  default_serving_model: older\n"
    )
    model = config.model()
    assert (model.temperature, model.top_p) == (0.1, 0.9)
    assert model.context_window == 200000
    assert config.warnings == {}
    assert config.pipeline == PipelineConfig()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "ml_config.yaml:1: empty; a model config is a mapping of keys, each as 'key: value'"),
        (
            "a: 1",
            "ml_config.yaml: has no serving_models; "
            "write 'serving_models:' with an entry for each model key",
        ),
        (
            "a: 1\nserving_models: [x]",
            "ml_config.yaml:2: serving_models: is a list; "
            "write 'serving_models:' with an entry for each model key",
        ),
        (
            "serving_models: {}\nserving_models: {}",
            "ml_config.yaml:2: serving_models: the key 'serving_models' stands here a second "
            "time; the first is in line 1; keep one",
        ),
        (
            "serving_models: {}\nfinrag_eval: {corpse: x}",
            "ml_config.yaml:2: finrag_eval.corpse: there is no key of finrag_eval 'corpse'; "
            "did you mean 'corpus'? known: aws, cache_folder, corpus, kpi_facts, prompts_folder, "
            "query_log, retriever, retriever_options",
        ),
        (
            "serving_models: {}\nfinrag_eval: {corpus: nowhere.jsonl}",
            "ml_config.yaml:2: finrag_eval.corpus: there is no nowhere.jsonl; "
            "check the path; it is relative to this file",
        ),
    ],
)
def test_a_config_that_is_none_says_why(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems_of(text, tmp_path, monkeypatch) == [problem]


def test_the_pipeline_section_has_paths_relative_to_its_file(read: Read, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "chunks.jsonl").write_text("")
    config = read(
        "serving_models: {}\nfinrag_eval:\n  prompts_folder: mine\n  corpus: chunks.jsonl\n"
        "  kpi_facts: embedded\n  query_log: s3://bucket/logs\n  aws: {region: us-east-1}\n"
    )
    assert config.pipeline == PipelineConfig(
        prompts_folder=tmp_path / "mine",
        corpus=tmp_path / "chunks.jsonl",
        query_log="s3://bucket/logs",
        aws={"region": "us-east-1"},
    )


def test_a_query_log_can_be_turned_off(read: Read) -> None:
    assert read("serving_models: {}\nfinrag_eval: {query_log: none}").pipeline.query_log is None


def test_the_config_is_looked_for_here_then_beside_and_above_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, sweeps = tmp_path / "here", tmp_path / "project" / "sweeps"
    here.mkdir()
    sweeps.mkdir(parents=True)
    monkeypatch.chdir(here)
    above = tmp_path / "project" / "ml_config.yaml"
    above.write_text("")
    assert find_ml_config(beside=sweeps / "s.yaml") == above
    (here / "ml_config.yaml").write_text("")
    assert find_ml_config(beside=sweeps / "s.yaml") == here / "ml_config.yaml"
    assert find_ml_config(above, beside=sweeps / "s.yaml") == above


def test_a_config_that_is_missing_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problems: list[Problem] = []
    assert read_ml_config(find_ml_config(), problems=problems) is None
    assert [str(problem) for problem in problems] == [
        "ml_config.yaml: no such model config; check the path"
    ]


@pytest.fixture
def shipped(project: Path) -> MlConfig:
    problems: list[Problem] = []
    config = read_ml_config(project / "ml_config.yaml", problems=problems)
    assert problems == []
    assert config is not None
    return config


def test_every_shipped_entry_is_usable_without_a_warning(shipped: MlConfig) -> None:
    assert shipped.broken == {}
    assert shipped.warnings == {}
    assert {
        "development_CH45",
        "development_CL_SONN_4_5",
        "production_balanced",
        "production_budget",
        "rehearsal_kpi",
        "rehearsal_narrative",
    } <= set(shipped.models)
    assert shipped.model().key == "development_CH45"


def test_every_shipped_price_has_a_source_and_a_date(shipped: MlConfig) -> None:
    for model in shipped.models.values():
        if model.cost_basis == "billed":
            assert model.settings["price_source"]
            assert model.settings["price_date"] == "2026-11-22"


def test_a_us_profile_of_claude_costs_a_tenth_more_than_the_list(shipped: MlConfig) -> None:
    haiku = shipped.model("development_CH45")
    assert haiku.model_id.startswith("us.")
    assert haiku.prices.cost_per_1k_input == Decimal("0.001") * Decimal("1.1")
    assert haiku.prices.cost_per_1k_output == Decimal("0.005") * Decimal("1.1")
    assert haiku.settings["output_burndown"] == 5


def test_batch_costs_half_wherever_it_is_priced(shipped: MlConfig) -> None:
    batches = [model for model in shipped.models.values() if "batch" in model.tier_prices]
    assert len(batches) >= 5
    for model in batches:
        half = model.tier_prices["batch"]
        assert half.cost_per_1k_input * 2 == model.prices.cost_per_1k_input
        assert half.cost_per_1k_output * 2 == model.prices.cost_per_1k_output


def test_a_model_survives_being_written_as_an_entry(shipped: MlConfig) -> None:
    for key, model in shipped.models.items():
        entry = json.loads(json.dumps(entry_of(model)))
        assert model_from_entry(key, entry) == model
        as_yaml = yaml.safe_load(yaml.safe_dump(entry_of(model)))
        assert model_from_entry(key, as_yaml) == model
