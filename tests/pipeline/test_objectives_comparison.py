from pathlib import Path

import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.objectives_comparison import compare_objectives


def test_an_unknown_objective_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no objective 'mocoo'; did you mean 'moco'"):
        compare_objectives(["synthetic"], [f"work_folder={tmp_path}"], ["mocoo"])
