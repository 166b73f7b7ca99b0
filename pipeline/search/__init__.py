"""`echopair search`: the rows of a table of embeddings that are most similar to a sound, or to each other."""

from echopair.pipeline.search.excerpt import Excerpt, missing_recordings, query_excerpt
from echopair.pipeline.search.pairs import similar_pairs
from echopair.pipeline.search.query import search_for
from echopair.pipeline.search.write import (
    hit_lines,
    pair_lines,
    write_hits,
    write_pairs_page,
    write_search_page,
)

__all__ = [
    "Excerpt",
    "hit_lines",
    "missing_recordings",
    "pair_lines",
    "query_excerpt",
    "search_for",
    "similar_pairs",
    "write_hits",
    "write_pairs_page",
    "write_search_page",
]
