"""The page of a run, `report.html`, and its summary for MLflow's description of the run."""

from echopair.pipeline.run_page.write import PAGE_FILE, write_run_page

__all__ = ["PAGE_FILE", "write_run_page"]
