"""The Bedrock client against a server that speaks Bedrock's wire format."""

from __future__ import annotations

import hashlib
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from loopback.fixture import LoopbackBedrock

from finrag_eval.domain import ModelConfig, ModelRequest, Prices, Usage
from finrag_eval.errors import ModelFault
from finrag_eval.synthesis_pipeline.bedrock import BedrockClient
from finrag_eval.turns import TURNS

MODEL = ModelConfig(
    key="haiku",
    provider="bedrock",
    model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0",
    display_name="Haiku",
    max_tokens=200,
    temperature=0.1,
    prices=Prices(cost_per_1k_input=Decimal("0.001"), cost_per_1k_output=Decimal("0.005")),
)
REQUEST = ModelRequest(
    model=MODEL, system_text="Be exact.", prefix_text="Context. ", question_text="Sales?"
)


@pytest.fixture(scope="module")
def shared_client() -> BedrockClient:
    return BedrockClient(workers=4, attempt_timeout_s=0.5)


@pytest.fixture
def client(bedrock: LoopbackBedrock, shared_client: BedrockClient) -> BedrockClient:
    """One client for all tests: making one costs more than most of them."""
    return shared_client


def ask(client: BedrockClient, request: ModelRequest = REQUEST, **named: Any) -> Any:
    return client.converse(request, timeout_s=named.pop("timeout_s", 5.0), **named)


def fault_from(client: BedrockClient, **named: Any) -> ModelFault:
    with pytest.raises(ModelFault) as caught:
        ask(client, **named)
    return caught.value


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_answer_comes_back_with_its_usage(bedrock: LoopbackBedrock, client: Any) -> None:
    reply = ask(client)
    prompt = hashlib.sha256(b"Be exact.\0Context. Sales?").hexdigest()
    assert reply.text == f"Net sales were $1,234 million. [sha256 {prompt}]"
    assert reply.stop_reason == "end_turn"
    entry = bedrock.ledger()[0]
    assert reply.usage == Usage(
        input_tokens=entry["input_tokens"], output_tokens=entry["output_tokens"]
    )
    assert reply.latency_seconds > 0
    assert reply.service_tier is None


def test_a_wait_for_the_turn_to_handle_an_answer_is_no_latency(
    bedrock: LoopbackBedrock, client: BedrockClient
) -> None:
    took: list[tuple[float, float]] = []

    def call() -> None:
        began = time.perf_counter()
        with TURNS.computing():
            reply = ask(client)
        took.append((time.perf_counter() - began, reply.latency_seconds))

    bedrock.programme(latency_s=0.3)
    caller = threading.Thread(target=call)
    with TURNS.computing():
        caller.start()
        until(lambda: TURNS.waiting == 1)  # to begin
        TURNS.give()
        until(lambda: bool(bedrock.ledger()))
        TURNS.take()
        until(lambda: TURNS.waiting == 1)  # with an answer
        time.sleep(0.3)
    caller.join()
    ((whole, latency),) = took
    assert whole - latency >= 0.3


def test_only_what_the_entry_names_is_sent(bedrock: LoopbackBedrock, client: Any) -> None:
    bedrock.programme(keep_bodies=True)
    ask(client)
    plain = replace(MODEL, temperature=None)
    ask(client, replace(REQUEST, model=plain, system_text="  "))
    first, second = (entry["body"] for entry in bedrock.ledger())
    assert first == {
        "messages": [{"role": "user", "content": [{"text": "Context. Sales?"}]}],
        "system": [{"text": "Be exact."}],
        "inferenceConfig": {"maxTokens": 200, "temperature": 0.1},
    }
    assert second == {
        "messages": [{"role": "user", "content": [{"text": "Context. Sales?"}]}],
        "inferenceConfig": {"maxTokens": 200},
    }


def test_every_setting_reaches_its_place(bedrock: LoopbackBedrock, client: Any) -> None:
    bedrock.programme(keep_bodies=True)
    model = replace(
        MODEL,
        temperature=None,
        top_p=0.9,
        settings={
            "cache_point": True,
            "cache_ttl": "1h",
            "service_tier": "flex",
            "guardrail": {"id": "gr-1", "version": 2},
            "stop_sequences": ["END"],
            "additional_model_request_fields": {"top_k": 5},
        },
    )
    metadata = {"trial_key": "a1", "who": "Zoë|x", "": "dropped"}
    reply = ask(client, replace(REQUEST, model=model, metadata=metadata))
    assert bedrock.ledger()[0]["body"] == {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "Context. "},
                    {"cachePoint": {"type": "default", "ttl": "1h"}},
                    {"text": "Sales?"},
                ],
            }
        ],
        "system": [{"text": "Be exact."}],
        "inferenceConfig": {"maxTokens": 200, "topP": 0.9, "stopSequences": ["END"]},
        "requestMetadata": {"trial_key": "a1", "who": "Zo__x"},
        "serviceTier": {"type": "flex"},
        "guardrailConfig": {"guardrailIdentifier": "gr-1", "guardrailVersion": "2"},
        "additionalModelRequestFields": {"top_k": 5},
    }
    assert reply.service_tier == "flex"


def test_cached_prefixes_are_counted_apart(bedrock: LoopbackBedrock, client: Any) -> None:
    model = replace(MODEL, settings={"cache_point": True})
    prefix = "A long context. " * 40
    first = ask(client, replace(REQUEST, model=model, prefix_text=prefix))
    second = ask(client, replace(REQUEST, model=model, prefix_text=prefix, question_text="Tax?"))
    assert first.usage.cache_write_tokens == 162
    assert first.usage.cache_read_tokens == 0
    assert second.usage.cache_read_tokens == 162
    assert second.usage.cache_write_tokens == 0


@pytest.mark.parametrize(
    ("ttl", "fate"),
    [("1h", "ok"), ("1h", "no_cache_details"), ("5m", "ok"), ("5m", "no_cache_details")],
)
def test_cache_writes_are_counted_by_how_long_they_are_kept(
    bedrock: LoopbackBedrock, client: Any, ttl: str, fate: str
) -> None:
    """Where the answer does not say it, what was asked for is what is billed."""
    bedrock.programme(scripts=[{"then": fate}])
    model = replace(MODEL, settings={"cache_point": True, "cache_ttl": ttl})
    prefix = f"A context of {ttl} and {fate}. " * 40
    usage = ask(client, replace(REQUEST, model=model, prefix_text=prefix)).usage
    assert usage.cache_write_tokens > 100
    assert usage.cache_write_1h_tokens == (usage.cache_write_tokens if ttl == "1h" else 0)


def test_text_is_collected_from_all_blocks_and_thoughts_are_kept_apart(
    bedrock: LoopbackBedrock, client: Any
) -> None:
    plain = ask(client).text
    bedrock.programme(scripts=[{"faults": ["many_blocks"]}])
    reply = ask(client)
    assert reply.text == plain
    assert reply.reasoning == "Let me look that up."


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("max_tokens", "max_tokens"),
        ("guardrail", "guardrail_intervened"),
        ("filtered", "content_filtered"),
        ("no_stop_reason", "unknown"),
        ("unknown_block", "end_turn"),
    ],
)
def test_unusual_answers_are_answers(
    bedrock: LoopbackBedrock, client: Any, fate: str, reason: str
) -> None:
    bedrock.programme(scripts=[{"faults": [fate]}])
    assert ask(client).stop_reason == reason


#: What the server does, and what the fault says: error type, class, may be billed, usage known.
FAULTS = [
    ("throttle", "ThrottlingException", "throttle", False, False),
    ("throttle_tokens", "ThrottlingException", "throttle", False, False),
    ("daily_tokens", "ThrottlingException", "stop_model", False, False),
    ("bare_429", "HTTP429", "throttle", False, False),
    ("not_ready", "ModelNotReadyException", "transient", False, False),
    ("unavailable", "ServiceUnavailableException", "transient", False, False),
    ("internal", "InternalServerException", "transient", False, False),
    ("html_503", "HTTP503", "transient", True, False),
    ("html_502", "HTTP502", "transient", True, False),
    ("model_timeout", "ModelTimeoutException", "transient", True, False),
    ("model_error", "ModelErrorException", "transient", False, False),
    ("model_error_400", "ModelErrorException", "never", False, False),
    ("validation", "ValidationException", "never", False, False),
    ("context_limit", "ValidationException", "never", False, False),
    ("sampling", "ValidationException", "stop_model", False, False),
    ("profile_only", "ValidationException", "stop_model", False, False),
    ("access_denied", "AccessDeniedException", "stop_model", False, False),
    ("end_of_life", "ResourceNotFoundException", "stop_model", False, False),
    ("service_quota", "ServiceQuotaExceededException", "stop_model", False, False),
    ("expired_token", "ExpiredTokenException", "credentials", False, False),
    ("bad_token", "UnrecognizedClientException", "credentials", False, False),
    ("bad_api_key", "AccessDeniedException", "credentials", False, False),
    ("reset", "ConnectionClosedError", "transient", True, False),
    ("close", "ConnectionClosedError", "transient", True, False),
    ("reset_in_body", "ConnectionClosedError", "transient", True, False),
    ("truncated", "TruncatedBody", "transient", True, False),
    ("hang", "ReadTimeoutError", "transient", True, False),
    ("empty_body", "EmptyBody", "transient", True, False),
    ("bad_json", "MalformedJson", "transient", True, False),
    ("html_200", "MalformedJson", "transient", True, False),
    ("bad_utf8", "InvalidUtf8", "transient", True, False),
    ("null_text", "NullText", "transient", True, False),
    ("list_body", "UnexpectedShape", "transient", True, False),
    ("empty_object", "UnexpectedShape", "transient", True, False),
    ("no_usage", "MissingUsage", "transient", True, False),
    ("half_usage", "MalformedUsage", "transient", True, False),
    ("negative_usage", "MalformedUsage", "transient", True, False),
    ("no_output", "MissingOutput", "transient", True, True),
    ("empty_content", "EmptyContent", "transient", True, True),
    ("blank_text", "NoText", "transient", True, True),
    ("tool_only", "NoText", "transient", True, True),
    ("thought_only", "NoText", "never", True, True),
]


@pytest.mark.parametrize(
    ("fate", "error_type", "retry", "may_be_billed", "has_usage"), FAULTS, ids=lambda value: value
)
def test_each_fault_has_its_name_and_class(
    bedrock: LoopbackBedrock,
    client: Any,
    fate: str,
    error_type: str,
    retry: str,
    may_be_billed: bool,
    has_usage: bool,
) -> None:
    bedrock.programme(scripts=[{"faults": [fate]}])
    fault = fault_from(client)
    assert (fault.error_type, fault.retry, fault.may_be_billed) == (
        error_type,
        retry,
        may_be_billed,
    )
    assert (fault.usage is not None) == has_usage
    assert fault.message
    assert len(bedrock.ledger()) == 1, "the SDK retries nothing"
    assert ask(client).stop_reason == "end_turn", "the client is as good as new"


@pytest.mark.parametrize("fate", ["drip", "drip_headers"])
def test_a_dripping_answer_cannot_pass_the_deadline(
    bedrock: LoopbackBedrock, client: Any, fate: str
) -> None:
    bedrock.programme(scripts=[{"faults": [fate]}], drip_s=0.05)
    began = time.monotonic()
    fault = fault_from(client, deadline=began + 0.6)
    assert fault.error_type == "TrialTimeout"
    assert fault.retry == "never"
    assert fault.may_be_billed
    # The whole answer would take more than 15 s; no read is silent for the 0.5 s of the client.
    assert time.monotonic() - began < 5
    assert ask(client).stop_reason == "end_turn"


def test_a_short_timeout_of_one_call_holds_beside_the_clients_own(
    bedrock: LoopbackBedrock,
) -> None:
    bedrock.programme(scripts=[{"faults": ["hang"]}])
    patient = BedrockClient(attempt_timeout_s=60.0)
    assert fault_from(patient, timeout_s=0.3).error_type == "TrialTimeout"


def test_a_cut_call_does_not_harm_the_others(bedrock: LoopbackBedrock) -> None:
    bedrock.programme(
        latency_s=0.3,
        scripts=[{"match": "slow", "faults": ["drip"], "then": "drip"}],
        drip_s=0.02,
    )
    client = BedrockClient(workers=8, attempt_timeout_s=5.0)
    outcomes: list[str] = []

    def call(text: str, deadline_s: float) -> None:
        try:
            request = replace(REQUEST, question_text=text)
            ask(client, request, deadline=time.monotonic() + deadline_s)
            outcomes.append(f"{text}: answered")
        except ModelFault as fault:
            outcomes.append(f"{text}: {fault.error_type}")

    calls = [("slow", 0.5 + 0.05 * n) for n in range(4)] + [("quick", 20.0)] * 12
    threads = [threading.Thread(target=call, args=each) for each in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["quick: answered"] * 12 + ["slow: TrialTimeout"] * 4


def test_a_call_whose_time_is_over_before_it_is_sent_is_not_sent(
    bedrock: LoopbackBedrock, client: BedrockClient
) -> None:
    ask(client)

    def dawdle(**_: Any) -> None:
        time.sleep(0.2)  # the deadline passes while the request is made

    events = client._client(MODEL).meta.events
    events.register("before-send.bedrock-runtime.Converse", dawdle)
    try:
        fault = fault_from(client, deadline=time.monotonic() + 0.05)
    finally:
        events.unregister("before-send.bedrock-runtime.Converse", dawdle)
    assert (fault.error_type, fault.may_be_billed) == ("TrialTimeout", False)
    assert len(bedrock.ledger()) == 1
    assert ask(client).stop_reason == "end_turn"


def test_nothing_that_cannot_be_reached_was_billed(
    bedrock: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:9")
    fault = fault_from(BedrockClient())
    assert (fault.error_type, fault.retry, fault.may_be_billed) == (
        "EndpointConnectionError",
        "transient",
        False,
    )


def test_missing_credentials_are_a_fault_of_credentials(
    bedrock: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    fault = fault_from(BedrockClient())
    assert (fault.error_type, fault.retry) == ("NoCredentialsError", "credentials")


def test_an_entry_that_boto3_refuses_stops_the_model(client: Any) -> None:
    fault = fault_from(client, request=replace(REQUEST, model=replace(MODEL, max_tokens=0)))
    assert (fault.error_type, fault.retry) == ("ParamValidationError", "stop_model")


def test_an_unknown_profile_stops_the_model(client: Any) -> None:
    model = replace(MODEL, settings={"profile": "nobody"})
    fault = fault_from(client, request=replace(REQUEST, model=model))
    assert (fault.error_type, fault.retry) == ("ProfileNotFound", "stop_model")


def test_keys_never_stand_in_messages(bedrock: LoopbackBedrock, client: Any) -> None:
    bedrock.programme(scripts=[{"faults": ["expired_token"]}])
    assert fault_from(client).message == "AWS refused the credentials (ExpiredTokenException)"


def test_connections_are_shared_and_kept(bedrock: LoopbackBedrock, client: Any) -> None:
    before = bedrock.stats()["connections"]
    for number in range(10):
        ask(client, replace(REQUEST, question_text=f"Question {number}?"))
    # One for the calls (unless an earlier one was kept), and one for the second look at the stats.
    assert bedrock.stats()["connections"] - before <= 2


def test_fresh_credentials_are_read_once_for_each_renewal(
    bedrock: LoopbackBedrock, client: Any
) -> None:
    ask(client)
    first = client._client(MODEL)
    client.renew(1)
    second = client._client(MODEL)
    client.renew(1)
    assert client._client(MODEL) is second
    assert second is not first


def test_a_pickled_client_answers_elsewhere(bedrock: LoopbackBedrock, client: Any) -> None:
    ask(client)
    assert ask(pickle.loads(pickle.dumps(client))).stop_reason == "end_turn"
