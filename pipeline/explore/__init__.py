"""`echopair explore`: a map of a table of embeddings in the browser, to listen to, to label and to export."""
