"""Supply line 2's source: passages of filing text for a question.

Enters: a corpus (the embedded one, or a user's JSONL or Parquet) and a question with the companies
and fiscal years it names. Leaves: passages in reading order. Knows nothing of prompts and models.
"""

from finrag_eval.synthesis_pipeline.retrievers.bm25 import Bm25Options, Bm25Retriever, Found
from finrag_eval.synthesis_pipeline.retrievers.corpus import Corpus

__all__ = ["Bm25Options", "Bm25Retriever", "Corpus", "Found"]
