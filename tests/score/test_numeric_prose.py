"""Answers as models write them in prose, lists and tables: is the right figure taken?"""

from __future__ import annotations

import pytest

from finrag_eval.domain import Query
from finrag_eval.score.numeric import numeric
from finrag_eval.score.verdicts import Verdict

GROWTH = Query(
    id="q",
    query="By how much did Adobe's revenue grow in fiscal 2021, in percent?",
    expected_value=12.1,
    unit="percent",
    tolerance=0.02,
)
ZOOM = Query(
    id="q",
    query="What was Zoom's revenue in fiscal 2021?",
    expected_value=1_200_000_000.0,
    unit="USD",
    tolerance=0.01,
)
REVENUE = Query(
    id="q",
    query="What was NVIDIA's revenue in fiscal 2020?",
    expected_value=10_918_000_000.0,
    unit="USD",
    tickers=("NVDA",),
)
REVENUE_2019 = Query(
    id="q",
    query="What was NVIDIA's total revenue for fiscal year 2019?",
    expected_value=11_716_000_000.0,
    unit="USD",
    tickers=("NVDA",),
)
NET_LOSS = Query(
    id="q",
    query="What was Uber's net income in fiscal 2019?",
    expected_value=-8_506_000_000.0,
    unit="USD",
    tickers=("UBER",),
)
DEBT = Query(
    id="q",
    query="What was total debt at the end of 2021?",
    expected_value=2_500_000_000.0,
    unit="USD",
    tolerance=0.02,
)
EPS = Query(
    id="q",
    query="What was NVIDIA's diluted EPS in fiscal 2020?",
    expected_value=4.52,
    unit="USD per share",
)
MARGIN = Query(
    id="q",
    query="What was the gross margin in fiscal 2020?",
    expected_value=62.0,
    unit="percent",
    tolerance=0.005,
)
BASIS_POINTS = Query(
    id="q",
    query="By how many basis points did gross margin change from 2019 to 2020?",
    expected_value=80.0,
    unit="basis points",
)
CURRENT_RATIO = Query(
    id="q",
    query="What was the current ratio at the end of 2020?",
    expected_value=7.67,
    unit="ratio",
)
DEBT_TO_EQUITY = Query(
    id="q",
    query="What was Apple's debt to equity ratio in 2020?",
    expected_value=1.73,
    unit="ratio",
)
CASH_USED = Query(
    id="q",
    query="What was cash used in investing activities in 2020?",
    expected_value=-6_145_000_000.0,
    unit="USD",
)
EMPLOYEES = Query(
    id="q",
    query="How many employees did NVIDIA have at the end of fiscal 2020?",
    expected_value=13_775,
    unit="number",
)
TAX_RATE = Query(
    id="q",
    query="What was the effective tax rate for 2019?",
    expected_value=0.159,
    unit="ratio",
)
DIFFERENCE = Query(
    id="q",
    query="What was the difference between Microsoft's revenue in 2020 and in 2019?",
    expected_value=17_172_000_000.0,
    unit="USD",
)
CHANGE = Query(
    id="q",
    query="What was the percentage change in revenue from fiscal 2019 to fiscal 2020?",
    expected_value=-6.81,
    unit="percent",
    tolerance=0.01,
)
ASSETS = Query(
    id="q",
    query="What were Microsoft's total assets at June 30, 2020?",
    expected_value=301_311_000_000.0,
    unit="USD",
    tickers=("MSFT",),
)
SHARES = Query(
    id="q",
    query="How many shares were repurchased in 2020?",
    expected_value=12_000_000,
    unit="number",
)
DIVIDEND = Query(
    id="q",
    query="What dividend per share did Apple declare in 2020?",
    expected_value=0.795,
    unit="USD per share",
)
RESEARCH = Query(
    id="q",
    query="What was NVIDIA's R&D expense as a percentage of revenue in fiscal 2020?",
    expected_value=25.9,
    unit="percent",
    tolerance=0.01,
)
CAGR = Query(
    id="q",
    query="What was the CAGR of revenue between 2017 and 2020?",
    expected_value=16.5,
    unit="percent",
    tolerance=0.01,
)
LOSS_PER_SHARE = Query(
    id="q",
    query="What was Uber's net loss per share in 2019?",
    expected_value=-6.81,
    unit="USD per share",
)
HIGHEST = Query(
    id="q",
    query="Which company had the highest revenue in fiscal 2020, and how much was it?",
    expected_value=274_515_000_000.0,
    unit="USD",
    tickers=("AAPL", "MSFT"),
)
CHANGE_IN_USD = Query(
    id="q",
    query="By how much did NVIDIA's revenue change from fiscal 2019 to fiscal 2020?",
    expected_value=-798_000_000.0,
    unit="USD",
    tickers=("NVDA",),
)
MICROSOFT = Query(
    id="q",
    query="What was Microsoft's revenue in fiscal 2020?",
    expected_value=143_015_000_000.0,
    unit="USD",
    tickers=("MSFT",),
)
INVENTORIES = Query(
    id="q",
    query="What were the inventories at the end of fiscal 2020?",
    expected_value=979_000_000.0,
    unit="USD",
)
SEGMENT = Query(
    id="q",
    query="What share of revenue came from the Gaming segment in fiscal 2020?",
    expected_value=50.5,
    unit="percent",
    tolerance=0.01,
)
IN_MILLIONS = Query(
    id="q",
    query="What was total revenue in 2018 (in millions)?",
    expected_value=22_832,
    unit="number",
    tolerance=0.01,
)
IN_THOUSANDS = Query(
    id="q",
    query="What was net sales in 2019?",
    expected_value=315_535.0,
    unit="thousands",
    tolerance=0.01,
)
RATE = Query(
    id="q",
    query="What is the interest rate on the 2026 notes?",
    expected_value=3.2,
    unit="percent",
)
THIRD_QUARTER = Query(
    id="q",
    query="What was NVIDIA's revenue in the third quarter of fiscal 2020?",
    expected_value=3_014_000_000.0,
    unit="USD",
)
LEASE_TERM = Query(
    id="q",
    query="What is the weighted average remaining lease term in years?",
    expected_value=7.6,
    unit="number",
)
WHICH_YEAR = Query(
    id="q",
    query="In which year was revenue highest between 2018 and 2020?",
    expected_value=2019,
    unit="number",
)
POINTS = Query(
    id="q",
    query="By how many percentage points did gross margin change from 2019 to 2020?",
    expected_value=0.8,
    unit="percentage points",
)

EFFECT = Query(
    id="q",
    query="What was the impact of foreign exchange on revenue in 2020?",
    expected_value=-120_000_000.0,
    unit="USD",
)
CASH = Query(
    id="q",
    query="What was NVIDIA's cash and cash equivalents at the end of fiscal 2020?",
    expected_value=10_896_000_000.0,
    unit="USD",
)
CAPEX = Query(
    id="q",
    query="How much did Microsoft spend on capital expenditures in fiscal 2020?",
    expected_value=15_441_000_000.0,
    unit="USD",
)

CASES: list[tuple[Query, str, int]] = [
    (GROWTH, "Revenue grew 12% to $1.2 billion from $1.07 billion.", 1),
    (GROWTH, "Growth was between 3% and 4%.", 0),
    (GROWTH, "Growth was between 12% and 12.2%.", 1),
    (GROWTH, "Growth of 10-14%", 0),
    (GROWTH, "low double digits, roughly 12 percent", 1),
    (GROWTH, "Revenue grew 12.1% year over year (15% in constant currency).", 1),
    (GROWTH, "Revenue grew 12.1 % YoY, versus 9.5 % in the prior year", 1),
    (GROWTH, "revenue growth accelerated from 9.5% to 12.1%", 1),
    (GROWTH, "Growth was 1,210 bps.", 1),
    (GROWTH, "Adobe's revenue grew by 0.121 (12.1%).", 1),
    (
        GROWTH,
        "Adobe's revenue growth was 12.1%: from $1.07 billion in 2020 to $1.20 billion in 2021.",
        1,
    ),
    (GROWTH, "(1.20 − 1.07) / 1.07 ≈ 0.121 → 12.1%", 1),
    (GROWTH, "roughly one-eighth (12.1%)", 1),
    (GROWTH, "It grew 12.1%, compared with 9.5%–10.2% for peers.", 1),
    (GROWTH, "It grew 1.121x", 0),
    (ZOOM, "Revenue grew 12% to $1.2 billion from $1.07 billion.", 1),
    (
        ZOOM,
        "Zoom's revenue rose to $1.2 billion in fiscal 2021, up from $1.07 billion in "
        "fiscal 2020, an increase of 12%.",
        1,
    ),
    (ZOOM, "Revenue grew 12% to $1.07 billion from $1.2 billion.", 0),
    (REVENUE, "FY2020: $10.9B vs. FY2019: $11.7B", 1),
    (REVENUE, "FY2019: $10.9B vs. FY2020: $11.7B", 0),
    (REVENUE, "FY2020 ($10.9B) vs. FY2019 ($11.7B)", 1),
    (REVENUE, "NVIDIA's revenue was not $11.7 billion but $10.9 billion.", 1),
    (REVENUE, "NVIDIA's revenue was $10.9 billion, not $11.7 billion.", 1),
    (REVENUE, "NVIDIA's revenue was $11.7 billion, not $10.9 billion.", 0),
    (REVENUE, "Revenue was not 10.9 but 11.7 billion.", 0),
    (
        REVENUE,
        "Contrary to what the question implies, the figure is $10.9 billion rather "
        "than $11.7 billion.",
        1,
    ),
    (
        REVENUE,
        "Based on the provided context, NVIDIA reported **revenue of $10,918 million** "
        "for fiscal year 2020 (ended January 26, 2020), compared to $11,716 million "
        "for fiscal year 2019.",
        1,
    ),
    (
        REVENUE,
        "| Metric ($ in millions) | FY2020 | FY2019 |\n|---|---:|---:|\n| Revenue | "
        "10,918 | 11,716 |\n| Net income | 2,796 | 4,141 |",
        1,
    ),
    (
        REVENUE,
        "| Metric ($ in millions) | FY2020 | FY2019 |\n|---|---:|---:|\n| Revenue | "
        "11,716 | 10,918 |\n| Net income | 2,796 | 4,141 |",
        0,
    ),
    (REVENUE, "$10.918 billion USD", 1),
    (REVENUE, "NVIDIA: 10.918B (USD)", 1),
    (
        REVENUE,
        "NVIDIA generated $10,918,000,000 (ten billion, nine hundred eighteen million dollars).",
        1,
    ),
    (REVENUE, "Total revenue: $10,918 (in millions)", 1),
    (
        REVENUE,
        "Total revenue was $10,918 million, of which Data Center contributed $2,983 "
        "million and Gaming $5,518 million.",
        1,
    ),
    (
        REVENUE,
        "- Q1: $2.22B\n- Q2: $2.58B\n- Q3: $3.01B\n- Q4: $3.11B\n- **Total FY2020: $10.92B**",
        1,
    ),
    (
        REVENUE,
        "Quarterly revenue was $2,220M, $2,579M, $3,014M and $3,105M, summing to $10,918M.",
        1,
    ),
    (REVENUE, "NVIDIA's fiscal 2020 revenue was USD 10.9bn (−7% y/y; FY19: USD 11.7bn).", 1),
    (
        REVENUE,
        "The 10-K lists two figures: $11.7 billion for fiscal 2019 and $10.9 billion "
        "for fiscal 2020.",
        1,
    ),
    (
        REVENUE,
        "In fiscal 2020, revenue decreased 7% to $10.92 billion from $11.72 billion a "
        "year earlier.",
        1,
    ),
    (
        REVENUE,
        "Compared with $11.72 billion in fiscal 2019, revenue of $10.92 billion "
        "represents a 7% decline.",
        1,
    ),
    (
        REVENUE,
        "Unlike fiscal 2019, when revenue reached $11.72 billion, NVIDIA recorded $10.92 billion.",
        1,
    ),
    (REVENUE, "10.9 billion dollars (2020) 11.7 billion dollars (2019)", 1),
    (REVENUE, "According to [1], revenue was $10.9 billion.[2]", 1),
    (
        REVENUE,
        "The answer is $10.9 billion. Note that fiscal 2019 revenue was $11.7 billion "
        "and fiscal 2021 revenue was $16.7 billion.",
        1,
    ),
    (REVENUE, "Fiscal 2021 revenue was $16.7 billion. Fiscal 2020 revenue was $10.9 billion.", 1),
    (REVENUE, "$10.9 billion or $11.7 billion, depending on the source.", 1),
    (REVENUE, "Q4 revenue was $3.11 billion; full-year revenue was $10.92 billion.", 1),
    (
        REVENUE,
        "Fourth-quarter revenue was $3.11 billion, bringing full-year fiscal 2020 "
        "revenue to $10.92 billion.",
        1,
    ),
    (
        REVENUE,
        "The provided context does not contain NVIDIA's fiscal 2020 revenue. It "
        "reports fiscal 2019 revenue of $11.7 billion.",
        0,
    ),
    (REVENUE, "I cannot determine it. The excerpts mention $10 billion of repurchases in 2018.", 0),
    (REVENUE, "$10,918,000 (in thousands)", 1),
    (REVENUE, "10,918,000 (thousands of dollars)", 1),
    (REVENUE, "Revenue: USD 10,918,000 thousands", 1),
    (REVENUE, "Revenue (USD millions): 10,918", 1),
    (REVENUE, "Revenue: 10,918 USD millions", 1),
    (REVENUE, "Revenue = $10,918 MM", 1),
    (REVENUE, "revenue of $10.918Bn", 1),
    (REVENUE, "revenue of 10.92 Billion USD.", 1),
    (
        REVENUE,
        "Revenue came in at $10.918 billion — a 6.8% decrease from FY 2019’s $11.716 billion.",
        1,
    ),
    (REVENUE, "NVIDIA’s FY20 revenue: $10.9B (FY19: $11.7B; FY18: $9.7B)", 1),
    (REVENUE, "FY19: $11.7B; FY20: $10.9B; FY21: $16.7B", 1),
    (REVENUE, "In FY 2019 NVIDIA had $11.7B; in FY 2020, $10.9B.", 1),
    (
        REVENUE,
        "NVIDIA's revenue in fiscal year 2020 (ended Jan 26, 2020) = $10.918 B, i.e., "
        "ten point nine billion dollars",
        1,
    ),
    (REVENUE, "Revenue exceeded $10.9 billion.", 1),
    (REVENUE, "Revenue was $10.9 billion (10-K p. 27).", 1),
    (REVENUE, "Revenue was $11 billion.", 0),
    (REVENUE, "Revenue was 10.9 billion dollars, or 10,918 in millions.", 1),
    (REVENUE_2019, "FY2020: $10.9B vs. FY2019: $11.7B", 1),
    (
        REVENUE_2019,
        "| Metric ($ in millions) | FY2020 | FY2019 |\n|---|---:|---:|\n| Revenue | "
        "10,918 | 11,716 |\n| Net income | 2,796 | 4,141 |",
        1,
    ),
    (
        NET_LOSS,
        "(in millions)\n\n| | 2018 | 2019 |\n|---|---|---|\n| Net income (loss) | 997 | (8,506) |",
        1,
    ),
    (
        NET_LOSS,
        "| (in millions) | 2018 | 2019 |\n|---|---|---|\n| Revenue | $11,270 | $14,147 "
        "|\n| Net income (loss) attributable to Uber | $997 | $(8,506) |",
        1,
    ),
    (NET_LOSS, "Uber reported a net loss of $8.5 billion in 2019.", 1),
    (NET_LOSS, "Uber's net loss was $8,506 million.", 1),
    (NET_LOSS, "Uber lost $8.5 billion in fiscal 2019.", 1),
    (NET_LOSS, "Uber's net income was $8.5 billion in fiscal 2019.", 0),
    (NET_LOSS, "Uber recorded a loss of roughly eight and a half billion dollars.", 1),
    (NET_LOSS, "Net income (loss): $(8,506) million", 1),
    (NET_LOSS, "Net income was ($8.5B) in 2019, versus $997M in 2018.", 1),
    (DEBT, "Total debt was roughly two and a half billion dollars.", 1),
    (DEBT, "Total debt stood at around two-and-a-half billion dollars at year-end.", 1),
    (DEBT, "Total debt was about $2 1/2 billion.", 1),
    (DEBT, "Total debt was approximately $2½ billion.", 1),
    (DEBT, "Total debt was two point five billion dollars.", 1),
    (
        DEBT,
        "Total debt was $2.5 billion, consisting of $1.0 billion of notes and $1.5 "
        "billion of loans.",
        1,
    ),
    (
        DEBT,
        "It consisted of $1.0 billion of notes and $1.5 billion of loans, for total "
        "debt of $2.5 billion.",
        1,
    ),
    (DEBT, "Notes: $1,000 million + Loans: $1,500 million = $2,500 million", 1),
    (
        EPS,
        "NVIDIA reported diluted EPS of $4.52 per diluted share, on net income of $2.8 billion.",
        1,
    ),
    (
        EPS,
        "Net income was $2,796 million, or $4.52 per diluted share, compared with "
        "$4,141 million, or $6.63 per diluted share, in fiscal 2019.",
        1,
    ),
    (EPS, "GAAP earnings per diluted share were $4.52; non-GAAP were $5.79.", 1),
    (EPS, "$4.52", 1),
    (EPS, "GAAP EPS were $6.63; non-GAAP $4.52", 0),
    (EPS, "Basic EPS was $4.59 and diluted EPS was $4.52.", 1),
    (EPS, "Diluted EPS was $4.59 and basic EPS was $4.52.", 0),
    (
        EPS,
        "| (in millions, except per share data) | FY2020 |\n|---|---|\n| Net income | "
        "$2,796 |\n| Diluted EPS | $4.52 |",
        1,
    ),
    (EPS, "EPS (diluted): 4.52", 1),
    (EPS, "Diluted EPS dropped from $6.63 to $4.52, a 32% decline.", 1),
    (EPS, "Diluted EPS fell 32% to $4.52.", 1),
    (EPS, "Diluted EPS fell $2.11 to $4.52.", 1),
    (MARGIN, "Gross margin was 62.0%, up 80 bps from 61.2%.", 1),
    (MARGIN, "Gross margin expanded by 80 basis points to 62.0%.", 1),
    (MARGIN, "0.62", 1),
    (
        MARGIN,
        "Gross profit of $6,768 million on revenue of $10,918 million gives a gross "
        "margin of 62.0%.",
        1,
    ),
    (MARGIN, "Gross margin was 61.2% in fiscal 2019 and improved to 62% in fiscal 2020", 1),
    (BASIS_POINTS, "Gross margin expanded by 80 basis points, from 61.2% to 62.0%.", 1),
    (BASIS_POINTS, "Gross margin rose from 61.2% to 62.0%, i.e. 0.8 percentage points.", 1),
    (BASIS_POINTS, "80", 1),
    (BASIS_POINTS, "It rose 8 bps.", 0),
    (CURRENT_RATIO, "The current ratio was 7.67 ($13,690 million / $1,784 million).", 1),
    (
        CURRENT_RATIO,
        "Current ratio = Current assets / Current liabilities = 13,690 / 1,784 = 7.67x",
        1,
    ),
    (CURRENT_RATIO, "The current ratio was 7.67 to 1.", 1),
    (CURRENT_RATIO, "767%", 1),
    (CURRENT_RATIO, "13,690 / 1,784 ≈ 7.67", 1),
    (
        DEBT_TO_EQUITY,
        "Debt-to-equity was 1.73 (i.e. $112.4 billion of debt over $65.3 billion of equity).",
        1,
    ),
    (DEBT_TO_EQUITY, "Apple's debt/equity ratio was 173%.", 1),
    (DEBT_TO_EQUITY, "The debt to equity ratio was 0.58.", 0),
    (CASH_USED, "Cash used in investing activities was $6,145 million.", 1),
    (CASH_USED, "Net cash used in investing activities totaled $(6,145) million in 2020.", 1),
    (EMPLOYEES, "As of January 26, 2020, NVIDIA had 13,775 employees.", 1),
    (EMPLOYEES, "NVIDIA had 13,775 employees in 30 countries, 9,823 of them in R&D.", 1),
    (EMPLOYEES, "approximately 13.8 thousand employees", 1),
    (EMPLOYEES, "We had 13775 full-time employees.", 1),
    (EMPLOYEES, "The company employed about 13.8K people.", 1),
    (EMPLOYEES, "At the end of fiscal 2020 there were 18,975 employees.", 0),
    (TAX_RATE, "The effective tax rate was 15.9%, compared with 18.3% in 2018.", 1),
    (TAX_RATE, "15.9 percent", 1),
    (TAX_RATE, "The effective tax rate was 0.159%.", 0),
    (TAX_RATE, "Our effective tax rate was 15.9% and 18.3% for 2019 and 2018, respectively.", 1),
    (TAX_RATE, "Our effective tax rate was 18.3% and 15.9% for 2019 and 2018, respectively.", 0),
    (
        DIFFERENCE,
        "Revenue was $143,015 million in 2020 and $125,843 million in 2019, so the "
        "difference was $17,172 million.",
        1,
    ),
    (DIFFERENCE, "$143.0B - $125.8B = $17.2B", 1),
    (DIFFERENCE, "Revenue rose $17.2 billion, from $125.8 billion to $143.0 billion.", 1),
    (DIFFERENCE, "$143,015M − $125,843M = $17,172M", 1),
    (
        CHANGE,
        "Revenue decreased 6.8%, from $11,716 million in fiscal 2019 to $10,918 "
        "million in fiscal 2020.",
        1,
    ),
    (CHANGE, "Revenue was down 6.81% year over year.", 1),
    (CHANGE, "($10,918 − $11,716) / $11,716 = −6.81%", 1),
    (CHANGE, "Revenue increased by 6.81%.", 0),
    (CHANGE, "It changed by 6.81%: a decline.", 1),
    (CHANGE, "**Percentage change:** ≈ -6.8%", 1),
    (CHANGE, "$$\\frac{10918 - 11716}{11716} \\times 100 = -6.81\\%$$", 1),
    (
        ASSETS,
        "At June 30, 2020, Microsoft's total assets were $301,311 million ($301.3 billion).",
        1,
    ),
    (ASSETS, "Total assets: $301.311 billion as of June 30, 2020 (2019: $286.556 billion)", 1),
    (
        ASSETS,
        "As of June 30, 2020 and 2019, total assets were $301.3 billion and $286.6 "
        "billion, respectively.",
        1,
    ),
    (
        ASSETS,
        "As of June 30, 2019 and 2020, total assets were $286.6 billion and $301.3 "
        "billion, respectively.",
        1,
    ),
    (
        ASSETS,
        "As of June 30, 2019 and 2020, total assets were $301.3 billion and $286.6 "
        "billion, respectively.",
        0,
    ),
    (ASSETS, "I cannot find Microsoft's 2020 total assets; for 2019 they were $286.6 billion.", 0),
    (
        ASSETS,
        "The context does not contain the 2020 figure. In 2021, total assets were "
        "$333.8 billion; in 2019 $286.6 billion.",
        0,
    ),
    (
        ASSETS,
        "I don't have enough information. It might be around $301 billion, but this is "
        "not in the context.",
        1,
    ),
    (
        SHARES,
        "The company repurchased 12 million shares for $1.3 billion at an average "
        "price of $108.33.",
        1,
    ),
    (SHARES, "12.0 million shares of common stock", 1),
    (SHARES, "It repurchased $1.3 billion of stock.", 0),
    (DIVIDEND, "Apple declared dividends of $0.795 per share in 2020 ($0.75 in 2019).", 1),
    (DIVIDEND, "79.5 cents per share", 1),
    (DIVIDEND, "$0.7950", 1),
    (RESEARCH, "R&D expense was $2,829 million, or 25.9% of revenue of $10,918 million.", 1),
    (RESEARCH, "$2,829M / $10,918M = 0.2591, i.e. 25.91%", 1),
    (RESEARCH, "25.9 cents of every dollar", 0),
    (CAGR, "The CAGR was (10,918/6,910)^(1/3) − 1 = 16.5%.", 1),
    (CAGR, "Revenue compounded at 16.5% a year over the three years.", 1),
    (LOSS_PER_SHARE, "Uber's basic and diluted net loss per share was $(6.81).", 1),
    (LOSS_PER_SHARE, "Net loss per share: $6.81", 1),
    (
        HIGHEST,
        "Apple ($274.5 billion) had the highest revenue, ahead of Microsoft ($143.0 billion).",
        1,
    ),
    (HIGHEST, "The highest was Apple, with $274.5 billion; Microsoft had $143.0 billion.", 1),
    (CHANGE_IN_USD, "Revenue fell by $798 million, from $11,716 million to $10,918 million.", 1),
    (CHANGE_IN_USD, "Revenue decreased $798 million, or 7%, to $10,918 million.", 1),
    (
        CHANGE_IN_USD,
        "Revenue decreased from $11,716 million to $10,918 million, a decrease of $798 "
        "million (6.8%).",
        1,
    ),
    (CHANGE_IN_USD, "Revenue was $10,918M in FY2020 vs $11,716M in FY2019 (a $798M decrease).", 1),
    (CHANGE_IN_USD, "$10,918M - $11,716M = -$798M", 1),
    (CHANGE_IN_USD, "Revenue increased by $798 million.", 0),
    (CHANGE_IN_USD, "The change was $(798) million.", 1),
    (CHANGE_IN_USD, "Year-over-year change: −$798 million (−6.8%)", 1),
    (MICROSOFT, "Revenue increased $17.2 billion to $143.0 billion.", 1),
    (
        MICROSOFT,
        "Microsoft's revenue increased by $17.2 billion, or 14%, to $143.0 billion in "
        "fiscal year 2020.",
        1,
    ),
    (MICROSOFT, "Revenue was up $17.2 billion to $143.0 billion.", 1),
    (MICROSOFT, "With an increase of $17.2 billion, revenue reached $143.0 billion.", 1),
    (MICROSOFT, "Revenue grew 14 % to $143,015 million.", 1),
    (
        MICROSOFT,
        "For fiscal years 2020, 2019 and 2018, Microsoft's revenue was $143.0 billion, "
        "$125.8 billion and $110.4 billion, respectively.",
        1,
    ),
    (
        MICROSOFT,
        "Microsoft's revenue was $110.4 billion, $125.8 billion, and $143.0 billion in "
        "2018, 2019, and 2020, respectively.",
        1,
    ),
    (
        MICROSOFT,
        "Revenue was $143.0 billion and $125.8 billion in fiscal 2020 and 2019, respectively.",
        1,
    ),
    (
        MICROSOFT,
        "Revenue was $125.8 billion and $143.0 billion in fiscal 2020 and 2019, respectively.",
        0,
    ),
    (
        MICROSOFT,
        "Revenue for the years ended June 30, 2018, 2019 and 2020 was $110,360, "
        "$125,843 and $143,015 million, respectively.",
        1,
    ),
    (MICROSOFT, "2018: $110.4B → 2019: $125.8B → 2020: $143.0B", 1),
    (MICROSOFT, "Revenue rose steadily: $110.4B (2018), $125.8B (2019), $143.0B (2020).", 1),
    (MICROSOFT, "Revenue rose steadily: 2018 ($110.4B), 2019 ($125.8B), 2020 ($143.0B).", 1),
    (
        MICROSOFT,
        "| Fiscal year | Revenue (in millions) | Growth |\n|---|---|---|\n| 2018 | "
        "$110,360 | – |\n| 2019 | $125,843 | 14% |\n| 2020 | $143,015 | 14% |",
        1,
    ),
    (
        MICROSOFT,
        "| Fiscal year | Revenue (in millions) | Growth |\n|---|---|---|\n| 2018 | "
        "$110,360 | – |\n| 2019 | $143,015 | 14% |\n| 2020 | $125,843 | 14% |",
        0,
    ),
    (
        MICROSOFT,
        "| Company | 2019 | 2020 |\n|---|---|---|\n| Apple | $260.2B | $274.5B |\n| "
        "Microsoft | $125.8B | $143.0B |",
        1,
    ),
    (
        MICROSOFT,
        "| Company | 2019 | 2020 |\n|---|---|---|\n| Apple | $260.2B | $143.0B |\n| "
        "Microsoft | $125.8B | $274.5B |",
        0,
    ),
    (
        MICROSOFT,
        "| | Apple | Microsoft |\n|---|---|---|\n| Revenue 2020 | $274.5B | $143.0B "
        "|\n| Net income 2020 | $57.4B | $44.3B |",
        1,
    ),
    (
        MICROSOFT,
        "Revenue: $143.0 billion\nOperating income: $53.0 billion\nNet income: $44.3 billion",
        1,
    ),
    (
        MICROSOFT,
        "Operating income: $53.0 billion\nNet income: $44.3 billion\nRevenue: $143.0 billion",
        1,
    ),
    (
        MICROSOFT,
        "Operating income: $143.0 billion\nNet income: $44.3 billion\nRevenue: $53.0 billion",
        0,
    ),
    (
        INVENTORIES,
        "Inventories totaled $979 million as of January 26, 2020, versus $1,575 "
        "million as of January 27, 2019.",
        1,
    ),
    (INVENTORIES, "Inventories decreased to $979 million from $1.58 billion.", 1),
    (INVENTORIES, "Inventories decreased by $596 million to $979 million.", 1),
    (INVENTORIES, "Inventories stood at just under a billion dollars.", 0),
    (
        INVENTORIES,
        "Raw materials $249M, work in process $265M and finished goods $465M, for a "
        "total of $979M.",
        1,
    ),
    (SEGMENT, "Gaming accounted for 50.5% of revenue ($5,518 million of $10,918 million).", 1),
    (
        SEGMENT,
        "Gaming was $5,518 million, which is 50.5% of total revenue of $10,918 "
        "million; Data Center was 27.3%.",
        1,
    ),
    (SEGMENT, "Just over half, 50.5 percent", 1),
    (SEGMENT, "Data Center contributed 27.3%, Gaming contributed 50.5% and ProViz 11.1%.", 1),
    (SEGMENT, "Data Center contributed 50.5%, Gaming contributed 27.3% and ProViz 11.1%.", 0),
    (SEGMENT, "Data Center (27.3%), Gaming (50.5%)", 1),
    (IN_MILLIONS, "$22.8 billion", 1),
    (IN_MILLIONS, "$22,832", 1),
    (IN_MILLIONS, "22,832 million USD", 1),
    (IN_MILLIONS, "$22,832 thousand", 0),
    (IN_MILLIONS, "$22.8 million", 0),
    (IN_THOUSANDS, "Net sales were $315.5M.", 1),
    (IN_THOUSANDS, "Net sales for 2019 were $315,535.", 1),
    (
        IN_THOUSANDS,
        "Net sales in 2019 were $315,535 thousand, up from $302,111 thousand in 2018.",
        1,
    ),
    (RATE, "The 3.20% Notes due 2026 bear interest at 3.20%.", 1),
    (
        RATE,
        "The 2026 notes carry a fixed rate of 3.2% per annum, payable semi-annually on "
        "March 16 and September 16.",
        1,
    ),
    (
        THIRD_QUARTER,
        "- Q1: $2.22B\n- Q2: $2.58B\n- Q3: $3.01B\n- Q4: $3.11B\n- **Total FY2020: $10.92B**",
        1,
    ),
    (
        THIRD_QUARTER,
        "Third-quarter revenue was $3,014 million, compared with $2,579 million in the "
        "second quarter.",
        1,
    ),
    (
        THIRD_QUARTER,
        "Revenue was $2,579 million in the second quarter and $3,014 million in the third quarter.",
        1,
    ),
    (LEASE_TERM, "The weighted average remaining lease term was 7.6 years.", 1),
    (LEASE_TERM, "7.6 years, with a weighted average discount rate of 3.45%", 1),
    (
        WHICH_YEAR,
        "Revenue was highest in fiscal 2019 at $11.7 billion, compared with $9.7 "
        "billion in 2018 and $10.9 billion in 2020.",
        1,
    ),
    (WHICH_YEAR, "2018: $9.7B, 2019: $11.7B, 2020: $10.9B. The highest was in 2019.", 1),
    (WHICH_YEAR, "FY2019", 1),
    (WHICH_YEAR, "Fiscal year 2018", 0),
    (POINTS, "Gross margin rose 0.8 percentage points (from 61.2% to 62.0%).", 1),
    (POINTS, "It rose from 61.2% to 62.0%, i.e. by 80 bps.", 1),
    (POINTS, "0.8", 1),
    (POINTS, "+0.8 pp", 1),
    (POINTS, "It rose by 8 percentage points", 0),
    (EFFECT, "Foreign exchange reduced revenue by $120 million.", 1),
    (EFFECT, "Revenue decreased $120 million due to foreign exchange, to $9.9 billion.", 1),
    (EFFECT, "An unfavorable FX impact of $(120) million.", 1),
    (
        CASH,
        "Cash and cash equivalents were $10,896 million at January 26, 2020, up from "
        "$782 million at January 27, 2019.",
        1,
    ),
    (CASH, "Cash and cash equivalents increased $10.1 billion to $10,896 million.", 1),
    (CASH, "$10.896 billion (cash: $10.896B; marketable securities: $1M)", 1),
    (
        CASH,
        "As of the end of the fourth quarter of fiscal 2020, cash and cash equivalents "
        "were $10,896 million, versus $782 million a year earlier.",
        1,
    ),
    (
        CASH,
        "NVIDIA had $782 million at the end of fiscal 2019 and $10,896 million at the "
        "end of fiscal 2020.",
        1,
    ),
    (
        CAPEX,
        "Microsoft spent $15.4 billion on capital expenditures, an increase of $1.5 "
        "billion over fiscal 2019.",
        1,
    ),
    (CAPEX, "Capital expenditures rose by $1.5 billion (11%) to $15.4 billion.", 1),
    (CAPEX, "Additions to property and equipment: $(15,441) million", 0),
    (CAPEX, "Additions to property and equipment ($15,441 million)", 1),
    (CAPEX, "Microsoft spent $15.4 million.", 0),
    (
        MICROSOFT,
        "In fiscal years 2019 and 2020, Microsoft had revenue of $125.8 billion and "
        "$143.0 billion.",
        1,
    ),
    (MICROSOFT, "FY2018: $110.4B | FY2019: $125.8B | FY2020: $143.0B", 1),
    (MICROSOFT, "Revenue (FY2020): $143.0 billion; revenue (FY2019): $125.8 billion", 1),
    (
        MICROSOFT,
        "Microsoft's FY2020 revenue was **$143.0 billion** – a 14% increase from "
        "**$125.8 billion** in FY2019.",
        1,
    ),
    (
        MICROSOFT,
        "Between 2019 and 2020 Microsoft's revenue increased from $125.8 billion to "
        "$143.0 billion.",
        1,
    ),
    (
        MICROSOFT,
        "Between 2019 and 2020 Microsoft's revenue increased from $143.0 billion to "
        "$125.8 billion.",
        0,
    ),
    (MICROSOFT, "Revenue of $143.0 to $143.1 billion.", 1),
    (MICROSOFT, "Revenue guidance was $140 billion to $150 billion.", 0),
    (EPS, "$4.52 diluted, $4.59 basic", 1),
    (EPS, "Basic: $4.59; diluted: $4.52", 1),
    (GROWTH, "It grew 12.1 percent, up 2.6 percentage points from 9.5 percent.", 1),
    (MARGIN, "Gross margin was up 80 bps, to 62.0%.", 1),
    (MARGIN, "Gross margin: 62.0% (+80 bps)", 1),
    (MARGIN, "The margin fell 80 bps to 61.2%.", 0),
]


@pytest.mark.parametrize(("query", "answer", "expected"), CASES)
def test_the_figure_of_an_answer_in_prose_is_judged_as_meant(
    query: Query, answer: str, expected: int
) -> None:
    verdict = numeric(query, {"answer": answer})
    assert isinstance(verdict, Verdict)
    assert verdict.value == expected, verdict.explanation
