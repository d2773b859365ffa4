"""One question through the pipeline: results and failures in the contract's shape."""

from __future__ import annotations

import json
import pickle
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finrag_eval.domain import (
    ModelConfig,
    ModelReply,
    ModelRequest,
    Prices,
    PromptVersion,
    Query,
    Usage,
)
from finrag_eval.errors import InvalidInput, ModelFault
from finrag_eval.synthesis_pipeline.clients import Clients, client_for
from finrag_eval.synthesis_pipeline.models import failure_result, success_result
from finrag_eval.synthesis_pipeline.orchestrator import Pipeline, answer_query
from finrag_eval.synthesis_pipeline.prompt_library import PromptLibrary
from finrag_eval.synthesis_pipeline.query_logger import read_query_log
from finrag_eval.synthesis_pipeline.supply_lines import Context, SupplyLines

CONFIG = """
serving_models:
  default_serving_model: offline
  offline:
    provider: rehearsal
    variant: kpi
    model_id: rehearsal-kpi-1
    display_name: Rehearsal
    max_tokens: 512
    price_as: priced
  priced:
    model_id: some.model
    display_name: Priced
    max_tokens: 512
    cost_per_1k_input: 0.001
    cost_per_1k_output: 0.005
finrag_eval:
  query_log: logs
"""
QUESTION = "What was NVIDIA's revenue in fiscal 2020?"
FAILURE_KEYS = {
    *("query", "answer", "context", "metadata"),
    *("error", "error_type", "stage", "timestamp"),
}


def _model(provider: str = "rehearsal", **settings: Any) -> ModelConfig:
    return ModelConfig(
        key="m",
        provider=provider,
        model_id="m-1",
        display_name="M",
        max_tokens=100,
        prices=Prices(cost_per_1k_input=Decimal("0.001"), cost_per_1k_output=Decimal("0.005")),
        settings=settings,
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ml_config.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_result_has_the_contracts_shape(root: Path) -> None:
    result = answer_query(QUESTION)
    assert set(result) == {"query", "answer", "context", "metadata", "exports"}
    metadata = result["metadata"]
    assert set(metadata) == {"llm", "context", "retrieval", "timestamp", "processing_time_ms"}
    assert set(metadata["llm"]) - {"cost_basis", "usage_is_estimate"} == {
        *("model_id", "input_tokens", "output_tokens", "total_tokens"),
        *("cache_read_tokens", "cache_write_tokens", "cost", "stop_reason"),
    }
    assert set(metadata["context"]) == {
        *("kpi_included", "rag_included", "context_length"),
        *("kpi_entities", "rag_entities", "retrieval_stats"),
    }
    assert metadata["retrieval"] == {
        "kpi_count": 1,
        "rag_count": metadata["retrieval"]["rag_count"],
        "tickers": ["NVDA"],
        "years": [2020],
        "sections": [],
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", metadata["timestamp"])
    assert metadata["context"]["context_length"] == len(result["context"])
    assert "$10,918 million" in result["answer"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_rehearsal_says_that_its_usage_is_an_estimate_and_no_real_money(root: Path) -> None:
    llm = answer_query(QUESTION)["metadata"]["llm"]
    assert (llm["cost_basis"], llm["usage_is_estimate"]) == ("rehearsal", True)
    expected = llm["input_tokens"] * 0.001 / 1000 + llm["output_tokens"] * 0.005 / 1000
    assert llm["cost"] == pytest.approx(expected)


def test_a_billed_answer_has_no_key_more_than_the_contract() -> None:
    reply = ModelReply(
        text="A",
        usage=Usage(input_tokens=10, output_tokens=2, cache_read_tokens=5),
        stop_reason="end_turn",
        latency_seconds=1.5,
    )
    result = success_result(
        query="Q", context=Context(text="C"), model=_model("bedrock"), reply=reply, seconds=2.0
    )
    assert result["metadata"]["llm"] == {
        "model_id": "m-1",
        "input_tokens": 10,
        "output_tokens": 2,
        "total_tokens": 17,
        "cache_read_tokens": 5,
        "cache_write_tokens": 0,
        "cost": pytest.approx(0.000025),
        "stop_reason": "end_turn",
    }
    assert result["metadata"]["processing_time_ms"] == 2000.0


@pytest.mark.parametrize(
    ("arguments", "stage", "message"),
    [
        ({"model_key": "nobody"}, "initialization", "no model key 'nobody'"),
        ({"system_prompt_version": "v9"}, "initialization", "no system prompt version 'v9'"),
        ({"config": "missing.yaml"}, "initialization", "missing.yaml"),
        ({"query": "  "}, "initialization", "the query is empty"),
    ],
)
def test_a_failure_before_the_call_is_a_value(
    root: Path, arguments: dict[str, str], stage: str, message: str
) -> None:
    result = answer_query(**{"query": QUESTION, **arguments})  # type: ignore[arg-type]
    assert set(result) == FAILURE_KEYS
    assert (result["answer"], result["context"], result["metadata"]) == (None, None, None)
    assert result["stage"] == stage
    assert message in result["error"]


def test_a_fault_of_the_model_keeps_the_vendors_name(root: Path) -> None:
    def throttled(request: ModelRequest) -> ModelReply:
        raise ModelFault("ThrottlingException", "slow down", retry="throttle", may_be_billed=False)

    result = answer_query(QUESTION, call=throttled)
    assert set(result) == FAILURE_KEYS
    assert (result["error_type"], result["error"], result["stage"]) == (
        "ThrottlingException",
        "slow down",
        "llm_invocation",
    )
    assert (
        failure_result(query="q", error=KeyError(), stage="initialization")["error"] == "KeyError"
    )


def test_unreadable_data_is_a_failure_of_the_context(root: Path) -> None:
    (root / "facts.csv").write_text("ticker\nAAPL\n")
    config = root / "other.yaml"
    config.write_text(CONFIG.replace("query_log: logs", "query_log: none\n  kpi_facts: facts.csv"))
    result = answer_query(QUESTION, config=config)
    assert result["stage"] == "context_building"
    assert "no column fiscal_year" in result["error"]


def test_every_question_gets_a_row_and_its_files_as_asked(root: Path) -> None:
    full = answer_query(QUESTION, export_context=True, export_response=True)
    bare = answer_query(QUESTION, export_context=False)
    answer_query(QUESTION, call=lambda request: 1 / 0)  # type: ignore[arg-type, return-value]
    assert Path(full["exports"]["context_file"]).read_text("utf-8") == full["context"]
    response = json.loads(Path(full["exports"]["response_file"]).read_text("utf-8"))
    assert response["answer"] == full["answer"]
    assert (bare["exports"]["context_file"], bare["exports"]["response_file"]) == (None, None)
    rows = read_query_log(root / "logs")
    assert list(rows["stage"].fillna("")) == ["", "", "llm_invocation"]
    assert list(rows["model_key"]) == ["offline"] * 3
    assert rows["error_type"].iloc[2] == "ZeroDivisionError"
    assert rows["cost"].iloc[0] == full["metadata"]["llm"]["cost"]


def test_an_answer_is_not_lost_with_its_log(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "logs").write_text("a file where the folder should be")
    result = answer_query(QUESTION)
    assert "$10,918 million" in result["answer"]
    assert result["exports"]["log_file"] is None
    assert "the query log could not be written" in caplog.text


def test_model_root_holds_config_and_log(tmp_path: Path) -> None:
    (tmp_path / "ml_config.yaml").write_text(CONFIG, encoding="utf-8")
    result = answer_query(QUESTION, model_root=tmp_path)
    assert result["exports"]["log_file"].startswith(str(tmp_path / "logs"))


def test_the_context_and_model_can_be_given(root: Path) -> None:
    result = answer_query(
        "What did it lease?",
        model_config=_model(variant="narrative"),
        prompt_versions=("v2", "v2"),
        context="It leased 40 warehouses in Ohio.",
    )
    assert result["context"] == "It leased 40 warehouses in Ohio."
    assert result["metadata"]["llm"]["model_id"] == "m-1"
    assert "40 warehouses" in result["answer"]


def test_a_target_can_pass_on_the_prompt_versions_that_it_was_given(root: Path) -> None:
    passed_on = answer_query(QUESTION, prompt_versions={"system": "v2", "query": "v1"})
    assert passed_on["answer"] == answer_query(QUESTION, prompt_versions=("v2", "v1"))["answer"]
    assert passed_on["answer"] != answer_query(QUESTION, prompt_versions=("v1", "v1"))["answer"]


def test_leaving_out_supply_lines_leaves_them_out(root: Path) -> None:
    result = answer_query(QUESTION, include_kpi=False)
    assert result["metadata"]["context"]["kpi_included"] is False
    assert result["metadata"]["retrieval"]["kpi_count"] == 0
    result = answer_query(QUESTION, include_rag=False)
    assert result["metadata"]["retrieval"]["rag_count"] == 0


def test_a_pickled_pipeline_answers_as_before() -> None:
    pipeline = Pipeline(SupplyLines())
    texts = PromptLibrary().load(PromptVersion(system="v1", query="v1"))
    query = Query(id="q1", query=QUESTION)

    def told(through: Pipeline) -> Any:
        model = _model()
        client = client_for(model)
        context = through.gather(query)
        result = through.answer(
            query, context, model, texts, lambda request: client.converse(request, timeout_s=1)
        )
        return result["answer"]

    assert told(pickle.loads(pickle.dumps(pipeline))) == told(pipeline)


def test_a_request_says_what_it_is_for() -> None:
    pipeline = Pipeline(SupplyLines())
    texts = PromptLibrary().load(PromptVersion(system="v2", query="v1"))
    query = Query(id="q1", query=QUESTION, context="C")
    request = pipeline.request(query, pipeline.gather(query), _model(), texts)
    assert request.metadata == {"cell": "m.v2-v1", "query_id": "q1"}
    assert pipeline.gather_worst_usd(query) == 0


def test_clients_are_picked_by_provider_and_unknown_ones_refused() -> None:
    clients = Clients()
    assert clients.client_for(_model(variant="narrative")).variant == "narrative"  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match=r"no variant 'kpis'; did you mean 'kpi'\?"):
        clients.client_for(_model(variant="kpis"))
    with pytest.raises(InvalidInput, match=r"no provider 'bedrok'; did you mean 'bedrock'\?"):
        clients.client_for(_model("bedrok"))
