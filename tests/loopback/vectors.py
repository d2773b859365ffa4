"""S3 Vectors and the two embedding models, from a programme.

An embedding here is a count of words by hash, so that texts that share words are near. Keys:
  index        {arn or "bucket/index": [{key, metadata}]}: what is stored; embedded by `text`
  dimensions   of the index (64); `metric`: cosine (default) or euclidean
  vector_page  how many vectors one answer has at most (3)
  may_read     False: the identity lacks s3vectors:GetVectors
  embedding    how an embedding is broken: "short", "nan", "text", "empty"
  no_count     True: no header says how many tokens were embedded
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from loopback.refusals import Refused, invalid

_MOST = 100


def embed(text: str, dimensions: int) -> list[float]:
    """Counts of the text's words, each in the place of its hash, to length 1."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        place = int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) % dimensions
        vector[place] += 1.0
    length = math.sqrt(sum(part * part for part in vector)) or 1.0
    return [part / length for part in vector]


def tokens(text: str) -> int:
    """What the loopback models count: a token is four bytes, rounded up."""
    return -(-len(text.encode()) // 4)


class Vectors:
    """QueryVectors and InvokeModel."""

    def __init__(self, programme: dict[str, Any]) -> None:
        self.programme = programme

    def InvokeModel(self, asked: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        model_id, body = asked["model_id"], asked["body"]
        note["model_id"], note["body"] = model_id, body
        if "cohere.embed" in model_id:
            (text,) = body["texts"]
            if body["input_type"] != "search_query" or body["embedding_types"] != ["float"]:
                raise invalid("input_type and embedding_types are not what a query needs")
            vector = self._broken(embed(text, body["output_dimension"]))
            answer: dict[str, Any] = {
                "id": "1",
                "texts": [text],
                "response_type": "embeddings_by_type",
                "embeddings": {"float": [vector]},
            }
            if not self.programme.get("no_count"):
                answer["headers"] = {"x-amzn-bedrock-input-token-count": str(tokens(text))}
        elif "titan-embed" in model_id:
            text = body["inputText"]
            answer = {"embedding": self._broken(embed(text, body["dimensions"]))}
            if not self.programme.get("no_count"):
                answer["inputTextTokenCount"] = tokens(text)
        else:
            raise invalid(f"{model_id} embeds nothing")
        note["tokens"] = tokens(text)
        return answer

    def _broken(self, vector: list[float]) -> Any:
        match self.programme.get("embedding"):
            case "short":
                return vector[:-1]
            case "nan":
                return [float("nan"), *vector[1:]]
            case "text":
                return "0.1 0.2"
            case "empty":
                return None
        return vector

    def QueryVectors(self, asked: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        body = asked["body"]
        note["body"] = {key: value for key, value in body.items() if key != "queryVector"}
        name = body.get("indexArn") or f"{body.get('vectorBucketName')}/{body.get('indexName')}"
        stored = self.programme.get("index", {}).get(name)
        if stored is None:
            raise Refused(404, "NotFoundException", "The specified index could not be found")
        reads = "filter" in body or body.get("returnMetadata")
        if reads and not self.programme.get("may_read", True):
            raise Refused(403, "AccessDeniedException", "not authorized: s3vectors:GetVectors")
        dimensions = self.programme.get("dimensions", 64)
        wanted = body["queryVector"]["float32"]
        if len(wanted) != dimensions:
            raise invalid(f"Query vector must have {dimensions} dimensions")
        if not 1 <= body["topK"] <= _MOST:
            raise invalid(f"topK must be 1 to {_MOST}")
        found = sorted(
            (self._distance(wanted, entry, dimensions), entry["key"], entry)
            for entry in stored
            if _passes(entry["metadata"], body.get("filter") or {})
        )[: body["topK"]]
        return self._page(found, body)

    def _page(self, found: list[Any], body: dict[str, Any]) -> dict[str, Any]:
        first = int(body.get("nextToken", 0))
        last = first + self.programme.get("vector_page", 3)
        vectors = []
        for distance, key, entry in found[first:last]:
            vector = {"key": key}
            if body.get("returnDistance"):
                vector["distance"] = distance
            if body.get("returnMetadata"):
                vector["metadata"] = entry["metadata"]
            vectors.append(vector)
        answer = {"vectors": vectors, "distanceMetric": self.programme.get("metric", "cosine")}
        if last < len(found):
            answer["nextToken"] = str(last)
        return answer

    def _distance(self, wanted: list[float], entry: dict[str, Any], dimensions: int) -> float:
        text = entry["metadata"].get("text")
        vector = embed(text if isinstance(text, str) else json.dumps(text), dimensions)
        if self.programme.get("metric", "cosine") == "euclidean":
            return math.dist(wanted, vector)
        return 1.0 - sum(one * other for one, other in zip(wanted, vector, strict=True))


def _passes(metadata: dict[str, Any], rule: dict[str, Any]) -> bool:
    """Whether metadata passes a filter; operators that AWS does not know are refused."""
    for key, wanted in rule.items():
        if key == "$and":
            passes = all(_passes(metadata, part) for part in wanted)
        elif key == "$or":
            passes = any(_passes(metadata, part) for part in wanted)
        elif key.startswith("$"):
            raise invalid(f"Invalid filter operator {key}")
        else:
            passes = _holds(metadata.get(key), wanted)
        if not passes:
            return False
    return True


def _holds(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        wanted = {"$eq": wanted}
    for operator, operand in wanted.items():
        if operator == "$eq":
            holds = value == operand and type(value) is type(operand)
        elif operator == "$in":
            holds = any(value == one and type(value) is type(one) for one in operand)
        else:
            raise invalid(f"Invalid filter operator {operator}")
        if not holds:
            return False
    return True
