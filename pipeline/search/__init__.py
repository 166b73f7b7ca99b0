"""`echopair search`: the rows of a table of embeddings that are most similar to a sound."""

from echopair.pipeline.search.query import search_for
from echopair.pipeline.search.write import write_search_page

__all__ = ["search_for", "write_search_page"]
