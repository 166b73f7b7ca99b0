"""The report of a sweep: a page, a table, figures."""
