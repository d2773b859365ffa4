"""Batch jobs at Bedrock: input into S3, a job made of it, its state, and its output back.

Enters: jobs with a file of records. Leaves: Bedrock's job ids, states, and files of answers; any
call raises ``ModelFault``. Nothing here is billed but the job itself, which is made once however
often ``send`` is called: its token says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from finrag_eval.domain import BatchJob, BatchStatus, ModelConfig, ModelRequest
from finrag_eval.synthesis_pipeline.bedrock.accounts import AwsAccount
from finrag_eval.synthesis_pipeline.bedrock.batch_records import (
    Manifest,
    RecordAnswer,
    read_records,
    record_id_of,
    record_line,
)
from finrag_eval.synthesis_pipeline.bedrock.faults import fault_of

T = TypeVar("T")

_OVER = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
_INPUT = "records.jsonl"
_MANIFEST = "manifest.json.out"
_CHUNK_BYTES = 1 << 20
_NOT_IN_KEYS = re.compile(r"[^-!_*'().a-zA-Z0-9]")


class BedrockBatches:
    """The batch jobs of one sweep, under ``s3_uri``/SWEEP_ID; jobs run as ``role_arn``.

    Region and profile are each model's own, else AWS's usual.
    """

    def __init__(self, *, s3_uri: str, role_arn: str, sweep_id: str, job_hours: int = 24) -> None:
        bucket, _, prefix = s3_uri.removeprefix("s3://").partition("/")
        self._bucket = bucket
        folders = [*prefix.strip("/").split("/"), _NOT_IN_KEYS.sub("-", sweep_id)]
        self._prefix = "/".join(folder for folder in folders if folder)
        self._role_arn, self._job_hours = role_arn, job_hours
        self._accounts: dict[tuple[str | None, str | None], AwsAccount] = {}

    def record_id(self, trial_key: str) -> str:
        """The id under which a trial's record goes and comes back."""
        return record_id_of(trial_key)

    def line(self, trial_key: str, request: ModelRequest) -> bytes:
        """One line of a job's input."""
        return record_line(trial_key, request)

    def send(self, job: BatchJob, model: ModelConfig, lines: Path) -> str:
        """Put the input into S3 and make the job; Bedrock's id of it."""
        account, folder = self._account(model), self._folder(job)

        def send() -> str:
            with lines.open("rb") as body:
                account.client("s3").put_object(
                    Bucket=self._bucket, Key=f"{folder}/input/{_INPUT}", Body=body
                )
            made = account.client("bedrock").create_model_invocation_job(
                jobName=_name(job),
                clientRequestToken=job.token,
                roleArn=self._role_arn,
                modelId=model.model_id,
                modelInvocationType="Converse",
                timeoutDurationInHours=self._job_hours,
                inputDataConfig={
                    "s3InputDataConfig": {
                        "s3InputFormat": "JSONL",
                        "s3Uri": f"s3://{self._bucket}/{folder}/input/{_INPUT}",
                    }
                },
                outputDataConfig={
                    "s3OutputDataConfig": {"s3Uri": f"s3://{self._bucket}/{folder}/output/"}
                },
            )
            return str(made["jobArn"])

        return _asked(send)

    def find(self, job: BatchJob, model: ModelConfig) -> str | None:
        """Bedrock's id of a job that may have been made before; None where it was not."""
        account, name = self._account(model), _name(job)

        def find() -> str | None:
            pages = account.client("bedrock").get_paginator("list_model_invocation_jobs")
            for page in pages.paginate(nameContains=name):
                for summary in page.get("invocationJobSummaries", ()):
                    if summary["jobName"] == name:
                        return str(summary["jobArn"])
            return None

        return _asked(find)

    def look(self, job_id: str, model: ModelConfig) -> BatchStatus:
        """Where the job is now: it is asked for in the region where it was made."""
        region = job_id.split(":")[3] if job_id.startswith("arn:") else None
        account = self._account(model, region=region)
        told = _asked(
            lambda: account.client("bedrock").get_model_invocation_job(jobIdentifier=job_id)
        )
        return BatchStatus(
            status=told.get("status", "unknown"),
            is_over=told.get("status") in _OVER,
            message=told.get("message"),
            records=told.get("totalRecordCount"),
            processed=told.get("processedRecordCount"),
            submitted_at=_seconds(told.get("submitTime")),
            ended_at=_seconds(told.get("endTime")),
        )

    def fetch(self, job: BatchJob, model: ModelConfig, to: Path) -> None:
        """Bring all of the job's output, and its manifest beside it, where it wrote any.

        The names that Bedrock chooses below the output's address are found by listing it.
        """
        client, folder = self._account(model).client("s3"), self._folder(job)

        def fetch() -> None:
            keys = [
                found["Key"]
                for page in client.get_paginator("list_objects_v2").paginate(
                    Bucket=self._bucket, Prefix=f"{folder}/output/"
                )
                for found in page.get("Contents", ())
            ]
            _manifest_beside(to).write_bytes(b"")
            with to.open("wb") as output:
                for key in keys:
                    if key.endswith(f"/{_MANIFEST}"):
                        with _manifest_beside(to).open("wb") as manifest:
                            _copy(client, self._bucket, key, manifest)
                    elif key.endswith(".jsonl.out"):
                        _copy(client, self._bucket, key, output)
                        output.write(b"\n")

        _asked(fetch)

    def answers(self, fetched: Path) -> Iterator[RecordAnswer]:
        """The answers in what ``fetch`` brought, in any order."""
        manifest = Manifest.read(_manifest_beside(fetched).read_bytes())
        with fetched.open("rb") as lines:
            yield from read_records((line for line in lines if line.strip()), manifest)

    def renew(self) -> None:
        """Read credentials anew for the calls to come."""
        for account in self._accounts.values():
            account.renew()

    def _folder(self, job: BatchJob) -> str:
        return f"{self._prefix}/{_name(job)}"

    def _account(self, model: ModelConfig, *, region: str | None = None) -> AwsAccount:
        place = (region or model.settings.get("region"), model.settings.get("profile"))
        return self._accounts.setdefault(place, AwsAccount(*place))


def _name(job: BatchJob) -> str:
    """A job's name: of letters, digits and hyphens, and at most 63 of them."""
    return f"finrag-eval-{job.token[:32]}"


def _manifest_beside(output: Path) -> Path:
    return output.with_suffix(".manifest")


def _copy(client: Any, bucket: str, key: str, to: Any) -> None:
    body = client.get_object(Bucket=bucket, Key=key)["Body"]
    for chunk in body.iter_chunks(_CHUNK_BYTES):
        to.write(chunk)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except OSError:
        raise
    except Exception as error:
        raise fault_of(error) from error
