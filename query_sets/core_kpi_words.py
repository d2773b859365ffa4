"""How core_kpi.jsonl words its questions: names of companies and metrics, and the questions.

Enters: nothing. Leaves: tables for ``make_core_kpi.py``. In a question, ``{name}`` and ``{other}``
are companies, ``{c}`` and ``{d}`` the same in the possessive, ``{m}`` is the metric, ``{y}`` (from
``{y0}`` to ``{y1}``) the fiscal year, ``{fy}`` its short form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NAMES: Mapping[str, Sequence[str]] = {
    "AAPL": ("Apple", "AAPL"),
    "AMZN": ("Amazon", "Amazon.com", "AMZN"),
    "GOOGL": ("Alphabet", "Google", "GOOGL"),
    "JNJ": ("Johnson & Johnson", "J&J", "JNJ"),
    "META": ("Meta Platforms", "Meta"),
    "MSFT": ("Microsoft", "MSFT"),
    "NFLX": ("Netflix", "NFLX"),
    "NVDA": ("NVIDIA", "Nvidia", "NVDA"),
    "ORCL": ("Oracle", "ORCL"),
    "TSLA": ("Tesla", "TSLA"),
    "V": ("Visa",),
    "WMT": ("Walmart", "WMT"),
}
#: Before fiscal 2021, when it took its new name.
OLD_NAMES: Mapping[str, Sequence[str]] = {"META": ("Facebook", "Meta Platforms", "Meta")}
#: Companies whose fiscal year is the calendar year, so that a bare year is not ambiguous.
CALENDAR_YEARS = frozenset({"AMZN", "GOOGL", "META", "NFLX", "TSLA"})

#: What questions call a metric.
FLOWS: Mapping[str, Sequence[str]] = {
    "revenue": ("revenue", "total revenue", "net sales", "sales"),
    "net_income": ("net income", "net earnings", "net profit"),
    "operating_income": ("operating income", "operating profit", "income from operations"),
    "gross_profit": ("gross profit",),
    "cost_of_revenue": ("cost of revenue", "cost of sales"),
    "rnd": ("R&D expense", "research and development expense"),
    "sga": ("SG&A expense", "selling, general and administrative expense"),
    "cfo": ("operating cash flow", "net cash provided by operating activities"),
    "cfo_cont_ops": ("operating cash flow from continuing operations",),
    "cfi": ("net cash flow from investing activities",),
    "cff": ("net cash flow from financing activities",),
    "capex": ("capital expenditure", "capex"),
    "depreciation_amortization": ("depreciation and amortization",),
    "income_tax": ("income tax expense", "provision for income taxes"),
    "pretax_income": ("pretax income", "income before income taxes"),
    "free_cash_flow": ("free cash flow",),
    "net_income_incl_nci": ("net income including noncontrolling interests",),
}
BALANCES: Mapping[str, Sequence[str]] = {
    "total_assets": ("total assets",),
    "equity": ("stockholders' equity", "shareholders' equity"),
    "equity_incl_nci": ("equity including noncontrolling interests",),
    "liabilities_and_equity": ("total liabilities and equity",),
    "total_liabilities": ("total liabilities",),
    "cash_and_equivalents": ("cash and cash equivalents",),
    "current_assets": ("current assets", "total current assets"),
    "current_liabilities": ("current liabilities", "total current liabilities"),
    "long_term_debt_noncurrent": ("noncurrent long-term debt",),
    "inventory": ("inventory",),
}
PER_SHARE: Mapping[str, Sequence[str]] = {
    "eps_diluted": ("diluted earnings per share", "diluted EPS"),
    "eps_basic": ("basic earnings per share", "basic EPS"),
    "dividends_per_share": ("dividends declared per share",),
}
OTHERS: Mapping[str, Sequence[str]] = {
    "shares_diluted": ("weighted average diluted share count",),
    "net_profit_margin": ("net profit margin",),
    "operating_margin": ("operating margin",),
}
PLURAL_ENDINGS = (
    *("sales", "earnings", "assets", "liabilities", "liabilities and equity", "equivalents"),
    *("earnings per share", "dividends declared per share"),
)
METRICS = {**FLOWS, **BALANCES, **PER_SHARE, **OTHERS}
CORE = ("revenue", "net_income", "operating_income", "cfo", "total_assets", "rnd")

LOOKUPS: Mapping[str, Sequence[str]] = {
    "flow": (
        "What {was} {c} {m} in {y}?",
        "How much {m} did {name} report for {y}?",
        "{name} {m} {fy}",
        "According to its 10-K, what {was} {c} {m} for {y}?",
        "Please give me {c} {m} for {y}.",
        "What {m} did {name} report for {y}?",
    ),
    "balance": (
        "What did {name} report as {m} at the end of {y}?",
        "{name} {m} {fy}",
        "On {c} balance sheet at the end of {y}, what figure is shown for {m}?",
        "How much did {c} {m} come to at the close of {y}?",
        "What {was} {c} {m} at the end of {y}?",
    ),
    "share": (
        "What {m} did {name} first report for {y}?",
        "{name} {m} {fy}, as first reported",
        "As first reported, what {was} {c} {m} for {y}?",
    ),
    "other": ("What {was} {c} {m} in {y}?", "{name} {m} {fy}"),
}
DIFFERENCES = (
    "How much higher {was} {c} {m} than {d} in {y}?",
    "By how much did {c} {m} exceed {d} in {y}?",
    "What was the difference between {c} {m} and {d} in {y}?",
    "Which company had the larger {m} in {y}, {other} or {name}, and by how much?",
)
LARGER = (
    "Of {other} and {name}, which reported the higher {m} for {y}, and what was the amount?",
    "Which of {name} and {other} had the higher {m} in {y}, and how much was it?",
)
TIMES = ("How many times as large as {d} {m} {was} {c} in {y}?",)
GROWTH = (
    "By what percentage did {c} {m} change from {y0} to {y1}?",
    "How fast did {c} {m} grow between {y0} and {y1}, in percent?",
    "What was the percentage growth of {c} {m} from {y0} to {y1}?",
)
CHANGE = (
    "By what percentage did {c} {m} change from {y0} to {y1}?",
    "What was the percentage change of {c} {m} between {y0} and {y1}?",
)
FALL = ("By what percentage did {c} {m} fall from {y0} to {y1}?",)
RISE = (
    "By how many dollars did {c} {m} rise from {y0} to {y1}?",
    "How much did {c} {m} increase from {y0} to {y1} in USD?",
)
SUM = (
    "What {was} {c} combined {m} over {y0} through {y1}?",
    "How much {m} did {name} report in total for {y0} to {y1}, all years added together?",
)
AVERAGE = (
    "What {was} {c} average annual {m} from {y0} to {y1}?",
    "On average, how much {m} per year did {name} report from {y0} through {y1}?",
)
CAGR = ("What was the compound annual growth rate of {c} {m} from {y0} to {y1}?",)
HIGHEST = ("What {was} the highest annual {m} that {name} reported between {y0} and {y1}?",)

#: Ratios: their wordings, part, whole, and whether the answer is a percentage.
RATIOS: Sequence[tuple[Sequence[str], str, str, bool]] = (
    (("gross margin", "gross profit as a percentage of revenue"), "gross_profit", "revenue", True),
    (("operating margin",), "operating_income", "revenue", True),
    (("net profit margin", "net margin"), "net_income", "revenue", True),
    (("R&D expense as a share of revenue",), "rnd", "revenue", True),
    (("operating cash flow as a percentage of revenue",), "cfo", "revenue", True),
    (("net income as a percentage of year-end total assets",), "net_income", "total_assets", True),
    (("capital expenditure as a percentage of revenue",), "capex", "revenue", True),
    (("effective tax rate",), "income_tax", "pretax_income", True),
    (("current ratio",), "current_assets", "current_liabilities", False),
    (("liabilities-to-assets ratio",), "total_liabilities", "total_assets", False),
)
RATIO_QUESTIONS = (
    "What was {c} {m} in {y}{percent}?",
    "Work out {c} {m} for {y}{percent}.",
    "Please give {c} {m} for {y}{percent}.",
)
