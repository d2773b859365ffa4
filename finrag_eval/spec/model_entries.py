"""One entry of ``serving_models`` as a ``ModelConfig``, and back.

Enters: a located entry. Leaves: a model less the prices it borrows, with warnings, or problems.
Prices are the decimals that were written. Keys that are not known are the provider's own and are
kept as settings; what looks like a secret is refused, since settings are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.domain import LengthTier, Location, ModelConfig, Prices
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.spec.located import Source, Value, of_plain, walk
from finrag_eval.spec.model_families import output_burndown_of, sampling_of
from finrag_eval.spec.shapes import (
    Anything,
    Choice,
    Field,
    Flag,
    Label,
    ListOf,
    MapOf,
    Money,
    Number,
    Reading,
    Section,
    Text,
    as_json,
    whole,
)
from finrag_eval.spec.suggest import nearest

SERVICE_TIERS = ("default", "flex", "priority", "reserved")

_PRICES = (
    Field(name="cost_per_1k_input", shape=Money(), doc="USD per 1,000 input tokens"),
    Field(name="cost_per_1k_output", shape=Money(), doc="USD per 1,000 output tokens"),
    Field(name="cost_per_1k_cache_read", shape=Money(), doc="USD per 1,000 tokens read"),
    Field(name="cost_per_1k_cache_write", shape=Money(), doc="USD per 1,000 written for 5 min"),
    Field(name="cost_per_1k_cache_write_1h", shape=Money(), doc="USD per 1,000 written for 1 h"),
)
_REQUIRED_PRICES = tuple(
    Field(name=price.name, shape=price.shape, doc=price.doc, required=position < 2)
    for position, price in enumerate(_PRICES)
)
_OWN_FIELDS = (
    Field(name="model_id", shape=Text(), doc="the provider's id of the model", required=True),
    Field(name="max_tokens", shape=whole(), doc="output tokens at most", required=True),
    Field(name="display_name", shape=Text(), doc="a name for people"),
    Field(name="provider", shape=Text(), doc="who answers", default="bedrock"),
    Field(name="temperature", shape=Number(low=0, high=2), doc="sampling temperature"),
    Field(name="top_p", shape=Number(above=0, high=1), doc="nucleus sampling"),
    Field(name="context_window", shape=whole(), doc="tokens that fit"),
    Field(name="price_as", shape=Text(), doc="the model key whose prices these tokens cost"),
)
_TIERS = (
    Field(
        name="length_tiers",
        shape=ListOf(
            item=Section(
                fields=(
                    Field(name="above_tokens", shape=whole(0), doc="prompt tokens", required=True),
                    *_REQUIRED_PRICES,
                )
            ),
            fewest=0,
        ),
        doc="prices of calls with longer prompts",
    ),
    Field(
        name="tier_prices",
        shape=MapOf(item=Section(fields=_REQUIRED_PRICES), keys=Choice((*SERVICE_TIERS, "batch"))),
        doc="prices by service tier, and of batch inference",
    ),
)
_SETTINGS = (
    Field(name="region", shape=Text(), doc="AWS region"),
    Field(name="profile", shape=Text(), doc="AWS profile"),
    Field(name="rpm", shape=Number(above=0), doc="requests a minute"),
    Field(name="tpm", shape=Number(above=0), doc="tokens a minute"),
    Field(name="output_burndown", shape=Number(low=1), doc="quota tokens per output token"),
    Field(name="cache_point", shape=Flag(), doc="mark the prompt's prefix for caching"),
    Field(name="cache_ttl", shape=Choice(("5m", "1h")), doc="how long a marked prefix is kept"),
    Field(name="stop_sequences", shape=ListOf(item=Text()), doc="texts that end an answer"),
    Field(
        name="additional_model_request_fields",
        shape=Anything(),
        doc="the model's own request fields, passed on",
    ),
    Field(name="service_tier", shape=Choice(SERVICE_TIERS), doc="Bedrock service tier"),
    Field(
        name="guardrail",
        shape=Section(
            fields=(
                Field(name="id", shape=Text(), doc="id or ARN", required=True),
                Field(name="version", shape=Label(), doc="its version", required=True),
            ),
            what="key of guardrail",
        ),
        doc="Bedrock guardrail",
    ),
    Field(name="variant", shape=Choice(("kpi", "narrative")), doc="which rehearsal"),
    Field(name="price_source", shape=Text(), doc="where the prices were read"),
    Field(name="price_date", shape=Text(), doc="when the prices were read"),
)
ENTRY = Section(fields=(*_OWN_FIELDS, *_PRICES, *_TIERS, *_SETTINGS), open=True)

_FIELD_NAMES = frozenset(each.name for each in ENTRY.fields)
_NOT_SETTINGS = frozenset(each.name for each in (*_OWN_FIELDS, *_PRICES, *_TIERS))
_SECRET = re.compile(
    r"access_?key|secret|password|passwd|credential|api_?key|bearer|(^|_)token$", re.IGNORECASE
)
#: Above this a price per 1,000 tokens is taken for one per million: the dearest real ones are
#: under a dollar.
_SUSPICIOUS_USD = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry came to: a model, or problems. ``borrows`` is the key it takes prices from."""

    model: ModelConfig | None
    borrows: str | None
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()


_NO_PRICES = Prices(cost_per_1k_input=Decimal(0), cost_per_1k_output=Decimal(0))


def read_entry(key: str, value: Value, at: str) -> Entry:
    """The model of one entry. A borrowing one has prices of 0 until they are filled in."""
    reading = Reading()
    content = ENTRY.read(value, at, reading)
    if value.kind == "mapping":
        reading.problems.extend(secrets_in(value, at))
        _check_prices(content, value, at, reading)
        _check_provider(content, value, at, reading)
        _check_asked_for_prices(content, value, at, reading)
    if reading.problems:
        return Entry(model=None, borrows=None, problems=tuple(reading.problems))
    place = f"{value.source.shown}:{value.line}: {key}"
    warnings = _unlike_anything(content, value)
    warnings += _drop_refused_sampling(content)
    warnings += _suspicious_prices(content)
    borrows = content.get("price_as") if "cost_per_1k_input" not in content else None
    return Entry(
        model=_model(key, content, Location(file=value.source.shown, line=value.line)),
        borrows=borrows,
        problems=(),
        warnings=tuple(f"{place}: {warning}" for warning in warnings),
    )


def entry_of(model: ModelConfig) -> dict[str, Any]:
    """The model as an entry of ``serving_models`` in plain data, prices included."""
    entry: dict[str, Any] = {
        "model_id": model.model_id,
        "display_name": model.display_name,
        "provider": model.provider,
        "max_tokens": model.max_tokens,
        "temperature": model.temperature,
        "top_p": model.top_p,
        "context_window": model.context_window,
        "price_as": model.price_as,
        **_price_fields(model.prices),
        "length_tiers": [
            {"above_tokens": tier.above_tokens, **_price_fields(tier.prices)}
            for tier in model.length_tiers
        ],
        "tier_prices": {tier: _price_fields(each) for tier, each in model.tier_prices.items()},
        **model.settings,
    }
    kept = {key: item for key, item in entry.items() if item is not None and item not in ([], {})}
    plain: dict[str, Any] = as_json(kept)
    return plain


def model_from_entry(key: str, entry: Mapping[str, Any]) -> ModelConfig:
    """The model that ``entry_of`` made ``entry`` of. Raises InvalidInput where it is none."""
    source = Source(f"entry {key}", Path.cwd())
    read = read_entry(key, of_plain(entry, source), key)
    if read.model is None:
        raise InvalidInput(read.problems)
    return replace(read.model, where=None)


def secrets_in(value: Value, at: str) -> list[Problem]:
    """A problem for each key that looks like a secret and has a value."""
    return [
        Problem(
            file=item.source.shown,
            line=item.line,
            key=f"{at}.{path[-1]}",
            message="looks like a secret, and what is here is recorded",
            fix="remove it; use an AWS profile ('profile: NAME'), or environment variables",
        )
        for path, item in walk(value)
        if path and _SECRET.search(path[-1]) and item.kind != "null"
    ]


def _check_prices(content: Mapping[str, Any], value: Value, at: str, reading: Reading) -> None:
    if "price_as" in content and "cost_per_1k_input" not in value.content:
        return
    for price in ("cost_per_1k_input", "cost_per_1k_output"):
        written = value.content.get(price)
        if written is None or written.kind == "null":
            alike = nearest(price, [key for key in value.content if key not in _FIELD_NAMES])
            hint = f"; is '{alike}' meant for it?" if alike else ""
            fix = f"write '{price}: ...' in USD per 1,000 tokens (0 is a price){hint}"
            reading.wrong(value, at, f"has no {price}, and no model is priced at 0 unsaid", fix)


def _check_asked_for_prices(
    content: Mapping[str, Any], value: Value, at: str, reading: Reading
) -> None:
    """What an entry asks for beside plain tokens has a price of its own: it may well be higher."""
    if "cost_per_1k_input" not in content:
        return
    for key, needed in _asked_for(content):
        for price in needed:
            if price not in content:
                fix = f"write '{price}: ...' in USD per 1,000 tokens (0 is a price)"
                reading.wrong(value.content[key], f"{at}.{key}", f"has no {price}", fix)
    tier = content.get("service_tier", "default")
    if isinstance(tier, str) and tier not in ("default", *content.get("tier_prices", ())):
        fix = f"write 'tier_prices: {{{tier}: ...}}' with the prices of that tier"
        place = f"{at}.service_tier"
        reading.wrong(value.content["service_tier"], place, f"{tier!r} has no prices", fix)


def _asked_for(content: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys of an entry that are given, with the prices that they need."""
    if content.get("cache_point") is True:
        yield "cache_point", ("cost_per_1k_cache_read", "cost_per_1k_cache_write")
        if content.get("cache_ttl") == "1h":
            yield "cache_ttl", ("cost_per_1k_cache_write_1h",)


def _check_provider(content: Mapping[str, Any], value: Value, at: str, reading: Reading) -> None:
    provider = content.get("provider")
    if provider == "rehearsal" and "variant" not in value.content:
        reading.wrong(value, at, "a rehearsal without a variant", "write 'variant: kpi|narrative'")
    temperature = content.get("temperature")
    if provider == "bedrock" and temperature is not None and temperature > 1:
        place = value.content["temperature"]
        reading.wrong(place, f"{at}.temperature", f"{temperature} is impossible", "write 0 to 1")


def _model(key: str, content: Mapping[str, Any], where: Location) -> ModelConfig:
    settings = {name: item for name, item in content.items() if name not in _NOT_SETTINGS}
    if content["provider"] == "bedrock":
        settings.setdefault("output_burndown", float(output_burndown_of(content["model_id"])))
    return ModelConfig(
        key=key,
        provider=content["provider"],
        model_id=content["model_id"],
        display_name=content.get("display_name", key),
        max_tokens=content["max_tokens"],
        prices=_prices(content) if "cost_per_1k_input" in content else _NO_PRICES,
        temperature=content.get("temperature"),
        top_p=content.get("top_p"),
        context_window=content.get("context_window"),
        price_as=content.get("price_as"),
        length_tiers=tuple(
            LengthTier(above_tokens=tier["above_tokens"], prices=_prices(tier))
            for tier in content.get("length_tiers", ())
        ),
        tier_prices={tier: _prices(each) for tier, each in content.get("tier_prices", {}).items()},
        settings=settings,
        where=where,
    )


def _prices(content: Mapping[str, Any]) -> Prices:
    return Prices(**{price.name: content.get(price.name) for price in _PRICES})  # type: ignore[arg-type]


def _price_fields(prices: Prices) -> dict[str, Decimal]:
    named = {price.name: getattr(prices, price.name) for price in _PRICES}
    return {name: amount for name, amount in named.items() if amount is not None}


def _drop_refused_sampling(content: dict[str, Any]) -> list[str]:
    """Takes out of the entry what its model would refuse, and says so."""
    if content["provider"] != "bedrock":
        return []
    takes = sampling_of(content["model_id"])
    given = [name for name in ("temperature", "top_p") if name in content]
    if takes == "none" and given:
        for name in given:
            del content[name]
        return [f"{content['model_id']} refuses {' and '.join(given)}; not sent"]
    if takes == "one" and len(given) == 2:
        top_p = content.pop("top_p")
        kept = f"temperature {content['temperature']} is sent, top_p {top_p} is not"
        return [f"{content['model_id']} takes temperature or top_p, not both; {kept}"]
    return []


def _suspicious_prices(content: Mapping[str, Any]) -> list[str]:
    return [
        f"{price.name} {content[price.name]} looks like a price per million tokens"
        for price in _PRICES
        if content.get(price.name, 0) > _SUSPICIOUS_USD
    ]


def _unlike_anything(content: Mapping[str, Any], value: Value) -> list[str]:
    """Warns of keys that are nearly known ones: a typo would change what is asked, unseen."""
    found = []
    for key in value.content:
        close = None if key in _FIELD_NAMES else nearest(key, _FIELD_NAMES, cutoff=0.85)
        if close is not None and close not in content:
            found.append(f"'{key}' is no known key and is passed on; did you mean '{close}'?")
    return found
