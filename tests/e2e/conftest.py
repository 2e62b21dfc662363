"""What the tests of whole runs share."""

from collections.abc import Generator

import command_line
import pytest


@pytest.fixture(scope="module")
def without_scores() -> Generator[None]:
    """Have the commands of a module's tests score nothing, where scores don't matter: each begins a second sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command_line.SETTINGS, "FOOTFALL_SCORES", "false")
        yield
