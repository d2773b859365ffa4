"""A question as a vector: Cohere Embed v4 and Titan Text Embeddings v2 through InvokeModel.

Enters: a text. Leaves: its vector and the tokens that it cost, or ``ModelFault``. One attempt a
call, as for Converse; the answer is checked, since a short or broken vector finds nonsense.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from finrag_eval.domain import Usage
from finrag_eval.errors import ModelFault
from finrag_eval.synthesis_pipeline.bedrock.accounts import AwsAccount
from finrag_eval.synthesis_pipeline.bedrock.faults import fault_of

Family = Literal["cohere", "titan"]

#: The lengths of vector that each family gives.
DIMENSIONS: Mapping[Family, tuple[int, ...]] = {
    "cohere": (256, 512, 1024, 1536),
    "titan": (256, 512, 1024),
}
_IDS: Mapping[str, Family] = {"cohere.embed-v4": "cohere", "amazon.titan-embed-text-v2": "titan"}
_TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


def family_of(model_id: str) -> Family | None:
    """The family of an embedding model's id or profile id; None where it is neither."""
    return next((family for part, family in _IDS.items() if part in model_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A text's vector; ``tokens`` is what was billed, None where the answer does not say."""

    vector: tuple[float, ...]
    tokens: int | None


def embed_query(account: AwsAccount, model_id: str, text: str, dimensions: int) -> Embedding:
    """The vector of a question, for a search among passages. Raises ModelFault.

    Questions and passages are embedded differently (Cohere's ``input_type``): passages must have
    been embedded as ``search_document``.
    """
    family = family_of(model_id)
    body: dict[str, Any] = {"inputText": text, "dimensions": dimensions, "normalize": True}
    if family == "cohere":
        body = {
            "input_type": "search_query",
            "texts": [text],
            "embedding_types": ["float"],
            "output_dimension": dimensions,
        }
    try:
        response = account.client("bedrock-runtime", attempts=1).invoke_model(
            modelId=model_id,
            body=json.dumps(body).encode(),
            contentType="application/json",
            accept="application/json",
        )
        content = response["body"].read()
    except Exception as error:
        raise fault_of(error) from error
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    return _checked(content, headers, dimensions)


def _checked(content: bytes, headers: Mapping[str, str], dimensions: int) -> Embedding:
    try:
        told = json.loads(content)
    except ValueError as error:
        raise _broken("the answer is not JSON", None) from error
    if not isinstance(told, dict):
        raise _broken("the answer is not a JSON object", None)
    tokens = str(told.get("inputTextTokenCount", headers.get(_TOKENS_HEADER)))
    billed = int(tokens) if tokens.isdecimal() else None
    vector = _vector(told)
    if not isinstance(vector, list) or len(vector) != dimensions:
        length = len(vector) if isinstance(vector, list) else "no"
        raise _broken(f"{length} numbers came, and {dimensions} were asked for", billed)
    if not all(isinstance(part, int | float) and math.isfinite(part) for part in vector):
        raise _broken("not all of the vector is numbers", billed)
    return Embedding(vector=tuple(map(float, vector)), tokens=billed)


def _vector(told: Mapping[str, Any]) -> Any:
    """The one vector, wherever the family has it."""
    if "embedding" in told:
        return told["embedding"]
    embeddings = told.get("embeddings")
    if isinstance(embeddings, dict):
        embeddings = embeddings.get("float")
    return embeddings[0] if isinstance(embeddings, list) and embeddings else None


def _broken(message: str, tokens: int | None) -> ModelFault:
    return ModelFault(
        "MalformedEmbedding",
        message,
        retry="transient",
        may_be_billed=True,
        http_status=200,
        usage=None if tokens is None else Usage(input_tokens=tokens, output_tokens=0),
    )
