"""`echopair search`: the rows of a table of embeddings that are most similar to a sound."""

from echopair.pipeline.search.excerpt import Excerpt, query_excerpt
from echopair.pipeline.search.query import search_for
from echopair.pipeline.search.write import hit_lines, write_search_page

__all__ = ["Excerpt", "hit_lines", "query_excerpt", "search_for", "write_search_page"]
