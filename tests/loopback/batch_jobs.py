"""Bedrock's batch inference jobs, from a programme; their files are in an S3 endpoint.

A job moves on by one state each time it is asked for. Keys of the programme:
  s3           the S3 endpoint, where the jobs' files are
  states       what a job goes through (Submitted, InProgress, Completed); it stays in the last
  message      of a job that failed
  min_records  fewer records make a job fail (100)
  done_share   share of the records that were processed when the job ended (1.0)
  records      [{match, fate}]: records whose prompt contains a text; fates are "missing",
               "error400", "error500" and those of faults.py's BODIES
  listed       how many jobs stand on one page of a listing (2)
  extra_output lines that stand in the output, too
  no_manifest  True: the job writes no manifest; "more": it counts more tokens than the answers
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from loopback.faults import BODIES
from loopback.refusals import Refused, invalid

_ENDED = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")
_ROLE = r"arn:aws:iam::\d{12}:role/.+"
_NAME = r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}"


class BatchJobs:
    """Jobs by their id, in the order of their making."""

    def __init__(self, programme: dict[str, Any]) -> None:
        self.programme = programme
        self.jobs: dict[str, dict[str, Any]] = {}
        self.by_token: dict[str, str] = {}

    def CreateModelInvocationJob(  # noqa: N802
        self, asked: dict[str, Any], note: dict[str, Any]
    ) -> dict[str, Any]:
        body = asked["body"]
        note["body"] = body
        token = body.get("clientRequestToken")
        if token in self.by_token:
            note["again"] = True
            return {"jobArn": self.jobs[self.by_token[token]]["jobArn"]}
        if not re.fullmatch(_ROLE, body["roleArn"]) or not re.fullmatch(_NAME, body["jobName"]):
            raise invalid("roleArn or jobName is not well formed")
        if body.get("modelInvocationType") != "Converse":
            raise invalid("this server speaks Converse alone")
        job_id = hashlib.sha256(f"{len(self.jobs)}{body['jobName']}".encode()).hexdigest()[:12]
        arn = f"arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/{job_id}"
        self.jobs[job_id] = {
            **body,
            "jobArn": arn,
            "status": "Submitted",
            "submitTime": datetime.now(UTC).isoformat(),
            "asked": 0,
        }
        if token:
            self.by_token[token] = job_id
        return {"jobArn": arn}

    def GetModelInvocationJob(self, asked: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        job_id = asked["job"].rpartition("/")[2]
        if job_id not in self.jobs:
            raise Refused(404, "ResourceNotFoundException", "no such job")
        job = self.jobs[job_id]
        if job["status"] not in _ENDED:
            states = self.programme.get("states", ["Submitted", "InProgress", "Completed"])
            job["status"] = states[min(job["asked"], len(states) - 1)]
            job["asked"] += 1
            self._run(job_id, job)
        note["job"], note["state"] = job_id, job["status"]
        return _shown(job)

    def ListModelInvocationJobs(  # noqa: N802
        self, asked: dict[str, Any], note: dict[str, Any]
    ) -> dict[str, Any]:
        found = [
            job for job in self.jobs.values() if asked.get("nameContains", "") in job["jobName"]
        ]
        first = int(asked.get("nextToken", 0))
        last = first + self.programme.get("listed", 2)
        answer: dict[str, Any] = {
            "invocationJobSummaries": [_shown(job) for job in found[first:last]]
        }
        if last < len(found):
            answer["nextToken"] = str(last)
        return answer

    def StopModelInvocationJob(self, asked: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        job = self.jobs[asked["job"].rpartition("/")[2]]
        job["status"] = "Stopped"
        return {}

    def _run(self, job_id: str, job: dict[str, Any]) -> None:
        bucket, key = _place(job["inputDataConfig"])
        records = [json.loads(line) for line in self._read(bucket, key).splitlines()]
        job["totalRecordCount"] = len(records)
        if len(records) < self.programme.get("min_records", 100) and job["status"] != "Submitted":
            job["status"] = "Failed"
            job["message"] = f"{len(records)} records are fewer than a job needs"
            return
        if job["status"] == "InProgress":
            job["processedRecordCount"] = len(records) // 2
        if job["status"] not in _ENDED:
            return
        job["endTime"] = (datetime.now(UTC) + timedelta(seconds=3600)).isoformat()
        if message := self.programme.get("message"):
            job["message"] = message
        if job["status"] == "Failed":
            return
        self._write_output(job_id, job, records)

    def _write_output(
        self, job_id: str, job: dict[str, Any], records: list[dict[str, Any]]
    ) -> None:
        done = records[: round(len(records) * self.programme.get("done_share", 1.0))]
        lines, used, errors = [], {"input": 0, "output": 0}, 0
        for record in done:
            line = self._answered(record, used)
            errors += line is not None and "error" in line
            if line is not None:
                lines.append(json.dumps(line))
        random.Random(7).shuffle(lines)
        lines += self.programme.get("extra_output", [])
        job["processedRecordCount"] = len(done)
        job["successRecordCount"], job["errorRecordCount"] = len(done) - errors, errors
        bucket, prefix = _place(job["outputDataConfig"])
        _, key = _place(job["inputDataConfig"])
        folder = f"{prefix.rstrip('/')}/{job_id}"
        content = "".join(f"{line}\n" for line in lines)
        self._write(bucket, f"{folder}/{key.rpartition('/')[2]}.out", content)
        mode = self.programme.get("no_manifest")
        if mode is not True:
            manifest = {
                "totalRecordCount": len(records),
                "processedRecordCount": len(done),
                "successRecordCount": len(done) - errors,
                "errorRecordCount": errors,
                "inputTokenCount": used["input"] + (10 if mode == "more" else 0),
                "outputTokenCount": used["output"],
            }
            self._write(bucket, f"{folder}/manifest.json.out", json.dumps(manifest))

    def _answered(self, record: dict[str, Any], used: dict[str, int]) -> dict[str, Any] | None:
        asked = record["modelInput"]
        system = "".join(block["text"] for block in asked.get("system", ()))
        user = "".join(block["text"] for block in asked["messages"][0]["content"])
        prompt = f"{system}\0{user}"
        fate = next(
            (one["fate"] for one in self.programme.get("records", ()) if one["match"] in prompt),
            "ok",
        )
        if fate == "missing":
            return None
        if fate in ("error400", "error500"):
            code = int(fate.removeprefix("error"))
            error = {"errorCode": code, "errorMessage": f"refused with {code}"}
            return {**record, "error": error}
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        most = asked["inferenceConfig"]["maxTokens"]
        inputs = -(-(len(prompt.encode()) - 1) // 4)
        outputs = min(most, 20 + int(digest[:2], 16) % 64)
        answer: dict[str, Any] = {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [{"text": f"Net sales were $1,234 million. [sha256 {digest}]"}],
                }
            },
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": inputs,
                "outputTokens": outputs,
                "totalTokens": inputs + outputs,
            },
            "metrics": {"latencyMs": 1500},
        }
        used["input"] += inputs
        used["output"] += outputs
        if fate != "ok":
            answer = json.loads(BODIES[fate](answer))
        return {**record, "modelOutput": answer}

    def _client(self) -> Any:
        return _s3_at(self.programme["s3"])

    def _read(self, bucket: str, key: str) -> str:
        content = self._client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return str(content.decode("utf-8"))

    def _write(self, bucket: str, key: str, content: str) -> None:
        self._client().put_object(Bucket=bucket, Key=key, Body=content.encode())


@cache
def _s3_at(url: str) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "asked"}


def _place(config: dict[str, Any]) -> tuple[str, str]:
    (inner,) = config.values()
    bucket, _, key = inner["s3Uri"].removeprefix("s3://").partition("/")
    return bucket, key
