"""`echopair play`: a page on which the contrastive losses can be tried, on points and on the sounds of a table."""

from echopair.pipeline.play.write import write_play_page

__all__ = ["write_play_page"]
