"""docs/reference/lifecycle.md has every reason for which a session ends."""

import re
from pathlib import Path

import pytest

from eugospawner.policy.lifecycle import ENDINGS, Ending

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "lifecycle.md").read_text()
(ENDS,) = re.findall(r"^## Ends\n(.*?)(?:^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("ending", Ending)
def test_each_end_stands_in_the_table_and_has_words(ending):
    assert f"`{ending}`" in ENDS
    assert ENDINGS[ending].title
    assert ENDINGS[ending].sentence.endswith(".")
