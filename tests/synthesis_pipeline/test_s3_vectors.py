"""Retrieval from S3 Vectors, against a server that ranks, filters and pages as AWS does."""

from __future__ import annotations

import pickle
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from loopback.aws_fixture import LoopbackAws
from loopback.vectors import tokens

from finrag_eval.domain import Query, RetrievalSettings
from finrag_eval.errors import InvalidInput, ModelFault
from finrag_eval.synthesis_pipeline.orchestrator import Pipeline
from finrag_eval.synthesis_pipeline.retrievers import s3_vectors
from finrag_eval.synthesis_pipeline.retrievers.s3_vectors import S3VectorsRetriever
from finrag_eval.synthesis_pipeline.retrievers.vector_options import S3VectorsOptions
from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

COHERE, TITAN = "us.cohere.embed-v4:0", "amazon.titan-embed-text-v2:0"
OPTIONS: Mapping[str, Any] = {
    "embedding_model": COHERE,
    "dimensions": 256,
    "cost_per_1k_input": 0.00012,
    "cost_per_1k_queries": 0.0025,
    "bucket": "filings",
    "index": "passages",
}
QUESTION = "What did Nvidia say about data center demand?"


def vector(key: str, ticker: str, year: Any, text: Any, **more: Any) -> dict[str, Any]:
    metadata = {"ticker": ticker, "fiscal_year": year, "section": "ITEM_7", "text": text, **more}
    return {"key": key, "metadata": metadata}


PASSAGES = [
    vector("N20:7:0002", "NVDA", 2020, "Nvidia data center demand was strong."),
    vector("N20:7:0010", "NVDA", 2020, "Gaming demand was strong at Nvidia."),
    vector("N20:1A:0001", "NVDA", 2020, "Demand may fall.", section="ITEM_1A"),
    vector("N19:7:0001", "NVDA", 2019, "Data center demand grew, Nvidia said."),
    vector("M20:7:0001", "MSFT", 2020, "Azure and data center demand grew."),
    vector("M19:7:0001", "MSFT", 2019, "What we say about demand in a data center."),
]


def options(**changes: Any) -> S3VectorsOptions:
    return S3VectorsOptions.read({**OPTIONS, **changes}, "ml_config.yaml")


@pytest.fixture
def filled(aws: LoopbackAws) -> LoopbackAws:
    """The server with an index of six passages."""
    aws.programme(index={"filings/passages": PASSAGES}, dimensions=256)
    return aws


@pytest.fixture(scope="module")
def shared() -> S3VectorsRetriever:
    """One retriever for all tests that need none of their own: its clients are made once."""
    return S3VectorsRetriever(options())


def keys(found: Any) -> list[str]:
    return [passage.chunk_id for passage in found.passages]


def test_passages_of_the_companies_and_years_named_come_in_reading_order(
    filled: LoopbackAws, shared: S3VectorsRetriever
) -> None:
    found = shared.find(QUESTION, tickers=["NVDA"], years=[2020], top_k=3)
    assert keys(found) == ["N20:1A:0001", "N20:7:0002", "N20:7:0010"]
    assert found.relaxed == ()
    (query,) = filled.ledger("QueryVectors")
    assert query["body"] == {
        "vectorBucketName": "filings",
        "indexName": "passages",
        "topK": 3,
        "filter": {"$and": [{"ticker": {"$eq": "NVDA"}}, {"fiscal_year": {"$in": [2020]}}]},
        "returnMetadata": True,
        "returnDistance": True,
    }


def test_a_passage_has_its_labels_and_its_nearness(
    filled: LoopbackAws, shared: S3VectorsRetriever
) -> None:
    (passage,) = shared.find(QUESTION, tickers=["NVDA"], years=[2020], top_k=1).passages
    assert (passage.ticker, passage.company_name, passage.fiscal_year) == ("NVDA", "NVDA", 2020)
    assert (passage.section, passage.text) == ("ITEM_7", "Nvidia data center demand was strong.")
    assert 0.5 < passage.score < 1.0


def test_companies_get_equal_shares_by_searches_of_their_own(
    filled: LoopbackAws, shared: S3VectorsRetriever
) -> None:
    found = shared.find(QUESTION, tickers=["MSFT", "NVDA"], years=[2019, 2020], top_k=4)
    assert keys(found) == ["M19:7:0001", "M20:7:0001", "N19:7:0001", "N20:7:0002"]
    assert found.requests == len(filled.ledger("QueryVectors"))


def test_other_years_are_searched_where_those_named_have_too_little(
    filled: LoopbackAws, shared: S3VectorsRetriever
) -> None:
    found = shared.find(QUESTION, tickers=["NVDA"], years=[2019], top_k=3)
    assert found.relaxed == ("years",)
    assert keys(found) == ["N19:7:0001", "N20:7:0002", "N20:7:0010"]
    rules = [call["body"]["filter"] for call in filled.ledger("QueryVectors")]
    assert rules[-1] == {"ticker": {"$eq": "NVDA"}}


def test_all_companies_are_searched_where_the_index_has_none_of_those_named(
    filled: LoopbackAws, shared: S3VectorsRetriever
) -> None:
    found = shared.find(QUESTION, tickers=["AAPL"], years=[2020], top_k=2)
    assert found.relaxed == ("companies",)
    assert keys(found) == ["M20:7:0001", "N20:7:0002"]


def test_without_companies_and_years_nothing_is_filtered(
    filled: LoopbackAws, shared: S3VectorsRetriever
) -> None:
    assert len(shared.find(QUESTION, top_k=5).passages) == 5
    assert all("filter" not in call["body"] for call in filled.ledger("QueryVectors"))


def test_every_page_of_an_answer_is_read(filled: LoopbackAws, shared: S3VectorsRetriever) -> None:
    filled.change(vector_page=1)
    assert len(shared.find(QUESTION, top_k=4).passages) == 4
    assert len(filled.ledger("QueryVectors")) == 4


def test_requests_are_bounded_and_it_is_told(filled: LoopbackAws) -> None:
    filled.change(vector_page=1)
    found = S3VectorsRetriever(options(max_requests=2)).find(QUESTION, top_k=6)
    assert (len(found.passages), found.requests) == (2, 2)
    assert found.relaxed == ("max_requests",)


@pytest.mark.parametrize(
    ("model_id", "body"),
    [
        (
            COHERE,
            {
                "input_type": "search_query",
                "texts": [QUESTION],
                "embedding_types": ["float"],
                "output_dimension": 256,
            },
        ),
        (TITAN, {"inputText": QUESTION, "dimensions": 256, "normalize": True}),
    ],
)
def test_embedding_and_requests_are_priced_exactly(
    filled: LoopbackAws, model_id: str, body: dict[str, Any]
) -> None:
    retriever = S3VectorsRetriever(options(embedding_model=model_id))
    found = retriever.find(QUESTION, tickers=["NVDA"], years=[2020], top_k=3)
    (call,) = filled.ledger("InvokeModel")
    assert (call["model_id"], call["body"]) == (model_id, body)
    embedded = tokens(QUESTION) * Decimal("0.00012") / 1000
    assert found.cost_usd == embedded + found.requests * Decimal("0.0025") / 1000
    assert found.cost_usd <= retriever.worst_usd(QUESTION)
    assert 0 < retriever.likely_usd(QUESTION) < retriever.worst_usd(QUESTION)


def test_tokens_that_no_answer_tells_are_counted_at_their_worst(filled: LoopbackAws) -> None:
    filled.change(no_count=True)
    found = S3VectorsRetriever(options(cost_per_1k_queries=0)).find(QUESTION, top_k=2)
    assert found.cost_usd == (len(QUESTION) + 256) * Decimal("0.00012") / 1000


def test_the_worst_case_holds_where_every_search_is_made(filled: LoopbackAws) -> None:
    filled.change(vector_page=1, no_count=True)
    retriever = S3VectorsRetriever(options(max_requests=3))
    found = retriever.find(QUESTION, tickers=["AAPL", "IBM"], years=[2001], top_k=8)
    assert found.requests == 3
    assert found.cost_usd == retriever.worst_usd(QUESTION)


def test_an_index_may_be_named_by_its_arn_and_have_keys_of_its_own(aws: LoopbackAws) -> None:
    arn = "arn:aws:s3vectors:us-east-1:111122223333:bucket/filings/index/passages"
    metadata = {"cik": "NVDA", "year": "2020", "sentence": "Nvidia data center demand."}
    aws.programme(index={arn: [{"key": "1", "metadata": metadata}]}, dimensions=256)
    retriever = S3VectorsRetriever(
        options(
            bucket=None,
            index=None,
            index_arn=arn,
            fields={"ticker": "cik", "fiscal_year": "year", "text": "sentence"},
            year_is_text=True,
        )
    )
    (passage,) = retriever.find(QUESTION, tickers=["NVDA"], years=[2020]).passages
    assert (passage.ticker, passage.fiscal_year) == ("NVDA", 2020)
    assert passage.text == "Nvidia data center demand."
    (query,) = [call["body"] for call in aws.ledger("QueryVectors")][:1]
    assert query["filter"]["$and"][1] == {"year": {"$in": ["2020"]}}


def test_euclidean_distances_rank_nearest_first(
    filled: LoopbackAws, shared: S3VectorsRetriever
) -> None:
    filled.change(metric="euclidean")
    (passage,) = shared.find(QUESTION, tickers=["NVDA"], years=[2020], top_k=1).passages
    assert passage.chunk_id == "N20:7:0002"
    assert passage.score < 0


def test_passages_stay_below_max_chars(filled: LoopbackAws) -> None:
    found = S3VectorsRetriever(options(max_chars=60)).find(QUESTION, tickers=["NVDA"], years=[2020])
    assert sum(len(passage.text) for passage in found.passages) <= 60
    cut = S3VectorsRetriever(options(max_chars=10)).find(QUESTION, tickers=["NVDA"], years=[2020])
    assert [passage.text for passage in cut.passages] == ["Nvidia dat"]


def test_metadata_that_is_no_passage_is_passed_over(aws: LoopbackAws) -> None:
    strange = [
        vector("1", "NVDA", "soon", "A year that is none."),
        vector("2", "NVDA", 2020, None),
        vector("3", "NVDA", 2020, ["a", "list"]),
        vector("4\n4", "NVDA", 2020.0, "Told\x1b[31m in red\x00."),
    ]
    aws.programme(index={"filings/passages": strange}, dimensions=256, vector_page=10)
    found = S3VectorsRetriever(options()).find("Told in red", top_k=8)
    (passage,) = found.passages
    assert (passage.chunk_id, passage.fiscal_year) == ("4 4", 2020)
    assert passage.text == "Told [31m in red ."


def test_vectors_without_usable_metadata_are_told_with_their_keys(aws: LoopbackAws) -> None:
    aws.programme(
        index={"filings/passages": [{"key": "1", "metadata": {"chunk": "text"}}]}, dimensions=256
    )
    with pytest.raises(ModelFault) as caught:
        S3VectorsRetriever(options()).find(QUESTION)
    fault = caught.value
    assert (fault.error_type, fault.retry) == ("UnusableMetadata", "never")
    assert fault.message == (
        "S3 Vectors: none of 1 vectors has ticker, fiscal_year, text as metadata; name its keys "
        "in retriever_options.fields"
    )
    assert fault.billed_usd == (tokens(QUESTION) * Decimal("0.12") + Decimal("2.5")) / 1_000_000


@pytest.mark.parametrize(
    ("programme", "error_type", "retry", "message"),
    [
        ({"may_read": False}, "AccessDeniedException", "stop_model", "S3 Vectors: not authorized"),
        ({"index": {}}, "NotFoundException", "stop_model", "S3 Vectors: The specified index"),
        ({"dimensions": 64}, "ValidationException", "stop_model", "S3 Vectors: Query vector must"),
        (
            {
                "faults": [
                    {
                        "operation": "QueryVectors",
                        "error": [429, "TooManyRequestsException", "slow down"],
                    }
                ]
            },
            "TooManyRequestsException",
            "throttle",
            "S3 Vectors: slow down",
        ),
    ],
)
def test_a_search_that_is_refused_says_what_it_cost_before(
    filled: LoopbackAws, programme: dict[str, Any], error_type: str, retry: str, message: str
) -> None:
    filled.change(**programme)
    with pytest.raises(ModelFault, match=message) as caught:
        S3VectorsRetriever(options()).find(QUESTION)
    fault = caught.value
    assert (fault.error_type, fault.retry) == (error_type, retry)
    assert fault.billed_usd == tokens(QUESTION) * Decimal("0.00012") / 1000
    assert len(filled.ledger("QueryVectors")) == 1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("short", "255 numbers came, and 256 were asked for"),
        ("nan", "not all of the vector is numbers"),
        ("text", "no numbers came, and 256 were asked for"),
        ("empty", "no numbers came, and 256 were asked for"),
    ],
)
def test_a_broken_embedding_is_a_fault_that_was_paid_for(
    filled: LoopbackAws, broken: str, message: str
) -> None:
    filled.change(embedding=broken)
    with pytest.raises(ModelFault) as caught:
        S3VectorsRetriever(options()).find(QUESTION)
    fault = caught.value
    assert (fault.error_type, fault.message, fault.retry) == (
        "MalformedEmbedding",
        message,
        "transient",
    )
    assert fault.billed_usd == tokens(QUESTION) * Decimal("0.00012") / 1000
    assert filled.ledger("QueryVectors") == []


def test_a_dripping_answer_cannot_hold_a_search(
    filled: LoopbackAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_vectors, "_LONGEST_SEARCH_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3VECTORS", url)
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        with pytest.raises(ModelFault) as caught:
            S3VectorsRetriever(options()).find("What did Nvidia earn?", tickers=["NVDA"])
    assert (caught.value.error_type, caught.value.retry) == ("SearchTimeout", "transient")
    assert caught.value.may_be_billed


def drip(listener: socket.socket) -> None:
    """Answer one call by a byte at a time, which would take a minute."""
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n")
        for _ in range(600):
            connection.sendall(b" ")
            time.sleep(0.1)


def test_an_embedding_that_was_paid_for_is_used_by_the_next_try(filled: LoopbackAws) -> None:
    busy = [503, "ServiceUnavailableException", "busy"]
    filled.change(faults=[{"operation": "QueryVectors", "error": busy, "times": 1}])
    retriever = S3VectorsRetriever(options())
    with pytest.raises(ModelFault):
        retriever.find(QUESTION)
    found = retriever.find(QUESTION)
    assert len(filled.ledger("InvokeModel")) == 1
    assert found.cost_usd == found.requests * Decimal("0.0025") / 1000


def test_refused_credentials_are_read_anew(
    filled: LoopbackAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = S3VectorsRetriever(options())
    expired = [403, "ExpiredTokenException", "the token is expired"]
    filled.change(faults=[{"operation": "InvokeModel", "error": expired, "times": 1}])
    with pytest.raises(ModelFault) as caught:
        retriever.find(QUESTION)
    assert caught.value.retry == "credentials"
    before = retriever._account.client("s3vectors")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE")
    assert retriever.find(QUESTION).passages
    assert retriever._account.client("s3vectors", attempts=1) is not before


def test_the_digest_names_what_decides_a_search_and_asks_nobody(aws: LoopbackAws) -> None:
    digest = S3VectorsRetriever(options()).digest
    assert S3VectorsRetriever(options(cost_per_1k_input=1, profile="other")).digest == digest
    for change in ({"index": "other"}, {"index_version": "2"}, {"embedding_model": TITAN}):
        assert S3VectorsRetriever(options(**change)).digest != digest
    assert pickle.loads(pickle.dumps(S3VectorsRetriever(options()))).digest == digest
    assert aws.ledger() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"cost_per_1k_input": None},
            "retriever_options.cost_per_1k_input: is missing; write USD per 1,000 tokens embedded "
            "(0 is a price)",
        ),
        (
            {"cost_per_1k_queries": -1},
            "retriever_options.cost_per_1k_queries: is no price: -1; write USD per 1,000 "
            "(0 is a price)",
        ),
        (
            {"dimensions": 384},
            "retriever_options.dimensions: us.cohere.embed-v4:0 gives no vectors of 384; "
            "known: 256, 512, 1024, 1536",
        ),
        (
            {"embedding_model": "amazon.titan-embed-text-v1"},
            "retriever_options.embedding_model: 'amazon.titan-embed-text-v1' is no embedding model "
            "that is known here; write cohere.embed-v4:0 or amazon.titan-embed-text-v2:0, or a "
            "profile's id",
        ),
        (
            {"index": None},
            "retriever_options.index: no index is named; write bucket and index, or index_arn",
        ),
        (
            {"index_arn": "arn:aws:s3vectors:us-east-1:1:bucket/b/index/i"},
            "retriever_options.index_arn: stands beside bucket or index; keep one of the two ways",
        ),
        (
            {"min_hit": 2},
            "retriever_options.min_hit: the s3vectors retriever has no such option; did you mean "
            "'min_hits'?",
        ),
        (
            {"fields": {"txt": "chunk"}},
            "retriever_options.fields.txt: passages have no such field; did you mean 'text'?",
        ),
        (
            {"max_requests": True},
            "retriever_options.max_requests: is not a count: True; write a whole number, 1 or more",
        ),
    ],
)
def test_wrong_options_are_told_before_anything_is_sent(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        options(**changes)
    assert str(caught.value) == f"ml_config.yaml: {problem}"


def settings(**changes: Any) -> RetrievalSettings:
    return RetrievalSettings(retriever="s3vectors", options=dict(OPTIONS), top_k=2, **changes)


def test_the_pipeline_gathers_by_it_and_counts_what_that_costs(filled: LoopbackAws) -> None:
    pipeline = Pipeline(SupplyLines(settings()))
    query = Query(id="q", query="What did Nvidia say about data center demand in 2020?")
    context = pipeline.gather(query)
    assert "Nvidia data center demand was strong." in context.text
    assert context.retrieval_stats["retriever"] == "s3vectors"
    assert Decimal(0) < context.cost_usd <= pipeline.gather_worst_usd(query)
    own = Query(id="own", query="What is said?", context="All of it.")
    assert pipeline.gather(own).cost_usd == pipeline.gather_worst_usd(own) == 0


def test_an_estimate_sends_nothing(filled: LoopbackAws) -> None:
    text = SupplyLines(settings()).sketch("What did Nvidia say about demand in 2020?")
    assert text.count("x" * 1200) == 2
    assert filled.ledger() == []


def test_wrong_options_are_told_when_the_supply_lines_are_named() -> None:
    wrong = RetrievalSettings(retriever="s3vectors", options={"bucket": "filings"})
    with pytest.raises(InvalidInput, match="embedding_model: is missing"):
        assert SupplyLines(wrong).digest
