"""Amazon Bedrock answers: Converse through botocore, every answer checked, every fault classified.

Enters: model requests. Leaves: checked replies, or ``ModelFault``. One attempt a call: retries,
limits and money are others'. The SDK is imported when the first client is made.

- ``client``, ``request``, ``reply``, ``deadline``   one call of Converse
- ``faults``, ``credentials``                         what can go wrong, for all of these
- ``embeddings``                                      a question as a vector
- ``batch_records``, ``batch_service``                Converse by batch jobs
- ``token_counts``                                    how long a prompt is, before it is sent
- ``preflight``, ``listings``                         can a model be used?
- ``accounts``                                        boto3 clients of all but Converse
"""

from __future__ import annotations

from finrag_eval.synthesis_pipeline.bedrock.client import BedrockClient
from finrag_eval.synthesis_pipeline.bedrock.credentials import credentials_problem

__all__ = ["BedrockClient", "credentials_problem"]
