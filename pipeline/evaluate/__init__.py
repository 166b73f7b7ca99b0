"""`echopair evaluate`: what encoders have learned, asked by suites, side by side, on one page.

encoders.py      which encoders: folders, addresses, peers, and the baselines beside them
task.py          a corpus, its folds and its sources
suites/          the questions; each is one file
run.py           prepare -> embed -> suites, each done once
write.py         the page and the table of scores
"""
