"""finrag_eval: batch evaluation of question answering over SEC filings."""
