"""What went wrong with a call, and what to do about it: one table for everything boto3 raises.

Enters: an exception. Leaves: a ``ModelFault``. Codes and statuses are botocore 1.44.5's service
model and measurements on it. Messages are cut, and never quote what was signed.
"""

from __future__ import annotations

import re
from typing import Any

from finrag_eval.errors import ModelFault
from finrag_eval.synthesis_pipeline.bedrock.reply import RawBody, body_fault

_LONGEST_MESSAGE = 400
_ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")

#: Bedrock's error codes: class of fault, and whether the vendor may charge for the call.
_BY_CODE: dict[str, tuple[str, bool]] = {
    "ThrottlingException": ("throttle", False),
    "TooManyRequestsException": ("throttle", False),
    "ProvisionedThroughputExceededException": ("throttle", False),
    "ModelNotReadyException": ("transient", False),
    "ServiceUnavailableException": ("transient", False),
    "InternalServerException": ("transient", False),
    "InternalFailure": ("transient", False),
    "ModelTimeoutException": ("transient", True),
    "ModelErrorException": ("transient", False),
    "ValidationException": ("never", False),
    "AccessDeniedException": ("stop_model", False),
    "ResourceNotFoundException": ("stop_model", False),
    "ServiceQuotaExceededException": ("stop_model", False),
    "ExpiredTokenException": ("credentials", False),
    "ExpiredToken": ("credentials", False),
    "UnrecognizedClientException": ("credentials", False),
    "InvalidClientTokenId": ("credentials", False),
    "InvalidSignatureException": ("credentials", False),
    "SignatureDoesNotMatch": ("credentials", False),
    "IncompleteSignatureException": ("credentials", False),
    "MissingAuthenticationTokenException": ("credentials", False),
    "MissingAuthenticationToken": ("credentials", False),
    "RequestExpired": ("credentials", False),
    "TokenRefreshRequired": ("credentials", False),
    "AuthFailure": ("credentials", False),
}

#: botocore's own exceptions, by class name; a subclass goes by the nearest name.
_BY_EXCEPTION: dict[str, tuple[str, bool]] = {
    "ReadTimeoutError": ("transient", True),
    "ConnectTimeoutError": ("transient", False),
    "EndpointConnectionError": ("transient", False),
    "ProxyConnectionError": ("transient", False),
    "ConnectionClosedError": ("transient", True),
    "ConnectionError": ("transient", True),
    "SSLError": ("stop_model", False),
    "HTTPClientError": ("transient", True),
    "NoCredentialsError": ("credentials", False),
    "PartialCredentialsError": ("credentials", False),
    "CredentialRetrievalError": ("credentials", False),
    "TokenRetrievalError": ("credentials", False),
    "NoAuthTokenError": ("credentials", False),
    "SSOError": ("credentials", False),
    "UnauthorizedSSOTokenError": ("credentials", False),
    "SSOTokenLoadError": ("credentials", False),
    "LoginError": ("credentials", False),
    "MetadataRetrievalError": ("credentials", False),
    "InfiniteLoopConfigError": ("credentials", False),
    "ProfileNotFound": ("stop_model", False),
    "NoRegionError": ("stop_model", False),
    "InvalidRegionError": ("stop_model", False),
    "EndpointProviderError": ("stop_model", False),
    "InvalidEndpointConfigurationError": ("stop_model", False),
    "ParamValidationError": ("stop_model", False),
    "BotoCoreError": ("never", True),
}

#: What a ValidationException says when it is the model's entry that is wrong, and not the prompt.
#: Words are matched without apostrophes: AWS writes some of them typographically.
_ABOUT_THE_MODEL = re.compile(
    r"temperature|top_?p\b|top_?k\b|on-demand throughput|inference profile|model identifier"
    r"|stop ?sequences?|maximum tokens you requested|max_?tokens|service ?tier|cache ?point"
    r"|prompt caching|guardrail|system messages|system prompts?|additional ?model ?request"
    r"|unsupported model|model (?:is not|isn.t|does not|doesn.t) support",
    re.IGNORECASE,
)
#: What one says when it is this prompt that is too long, whatever else it names.
_ABOUT_THE_LENGTH = re.compile(
    r"context (?:limit|length|window)|too long|input tokens", re.IGNORECASE
)
#: A Bedrock API key that is over is denied access; that of an identity says something else.
_ABOUT_THE_KEY = re.compile(r"api key is valid|bearer token", re.IGNORECASE)
_PER_DAY = re.compile(r"(?:tokens|requests) per day", re.IGNORECASE)
#: TLS also breaks off where a connection does: only a certificate that is not trusted stays so.
_UNTRUSTED = re.compile(r"certificate", re.IGNORECASE)
_STATUS_UNSAID = {408: ("transient", True), 429: ("throttle", False), 401: ("credentials", False)}


def fault_of(error: Exception, raw: RawBody | None = None) -> ModelFault:
    """The fault that an exception of boto3 stands for; ``raw`` is the body that came, if any."""
    if isinstance(error, ModelFault):
        return error
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return _of_answer(response)
    if raw is not None and raw.status < 300 and not _is_of_the_sdk(error):
        return body_fault(raw)
    return _of_exception(error)


def _of_answer(response: dict[str, Any]) -> ModelFault:
    """Of an HTTP error. A proxy's page has its status for a code: then the status decides."""
    code = str(response["Error"].get("Code") or "")
    message = str(response["Error"].get("Message") or "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    retry, may_be_billed = _BY_CODE.get(code) or _by_status(status)
    if code in {"ModelErrorException"} and _is_callers_fault(response.get("originalStatusCode")):
        retry = "never"
    if code == "ValidationException" and _is_about_the_model(message):
        retry = "stop_model"
    if retry == "throttle" and _PER_DAY.search(message):
        retry = "stop_model"
    if status == 403 and _ABOUT_THE_KEY.search(message):
        retry = "credentials"
    error_type = code if code and not code.isdigit() else f"HTTP{status}"
    if retry == "credentials":
        message = f"AWS refused the credentials ({error_type})"
    return ModelFault(
        error_type,
        _clean(message) or f"HTTP status {status}",
        retry=retry,
        may_be_billed=may_be_billed,
        http_status=status,
    )


def _by_status(status: int | None) -> tuple[str, bool]:
    """By HTTP status alone. A gateway may have passed the call on before it failed."""
    if status is None or status >= 500:
        return "transient", True
    if status in _STATUS_UNSAID:
        return _STATUS_UNSAID[status]
    return ("stop_model", False) if status in (403, 404) else ("never", False)


def _is_about_the_model(message: str) -> bool:
    is_of_this_prompt = _ABOUT_THE_LENGTH.search(message) is not None
    return not is_of_this_prompt and _ABOUT_THE_MODEL.search(message) is not None


def _is_callers_fault(original_status: Any) -> bool:
    return (
        isinstance(original_status, int)
        and 400 <= original_status < 500
        and original_status not in (408, 424, 429)
    )


def _of_exception(error: Exception) -> ModelFault:
    for kind in type(error).__mro__:
        if kind.__name__ in _BY_EXCEPTION:
            retry, may_be_billed = _BY_EXCEPTION[kind.__name__]
            break
    else:
        retry, may_be_billed = "never", True
    if kind.__name__ == "SSLError" and not _UNTRUSTED.search(str(error)):
        retry, may_be_billed = "transient", True
    name = type(error).__name__
    message = _clean(str(error))
    if retry == "credentials":
        message = f"no usable AWS credentials ({name})"
    fault = ModelFault(name, message, retry=retry, may_be_billed=may_be_billed)
    if retry == "never":
        fault.__cause__ = error
    return fault


def _is_of_the_sdk(error: Exception) -> bool:
    """Whether boto3 meant to raise this. Its parsers stumble over strange bodies in many ways."""
    return any(kind.__name__ == "BotoCoreError" for kind in type(error).__mro__)


def _clean(message: str) -> str:
    """One line without keys, cut to a bearable length."""
    line = _CONTROL.sub(" ", _ACCESS_KEY.sub("[access key]", message)).strip()
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
