"""For the reader's eye: a sweep's figures as terminal tables, Markdown, CSV and one HTML page.

Enters: a summary (the contract's section 7, as plain data) and trials to open (``TrialView``).
Leaves: text. Knows no ledger, no tracking store and no statistics: it shows figures and
computes none that a decision rests on. Whatever a model or a filing wrote is treated as hostile.

  figures      how a number is written; missing is an en dash
  safe_text    what makes foreign text harmless in a terminal, in CSV, in Markdown, in HTML
  sheet        the summary, read once into small records
  verdicts     the result in words
  terminal     tables that fit 80 columns          markdown, rows     summary.md, summary.csv
  trial_view   one trial, as it can be opened      sample, packs      which trials, and how packed
  charts       pictures (matplotlib, loaded late)  bars               small bars inside tables
  ahead        packed before the last trial        beside             drawn in a second process
  html         report.html
"""
