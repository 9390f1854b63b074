"""What all tests stand on: hypothesis profile, a cache of their own, and data that may be absent."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

# No deadline: the first example of a shape pays for compiling it. CI draws the same examples each time.
hypothesis.settings.register_profile("wavejit", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("wavejit")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings and trained checkpoints, in a folder beside the repository; without it the test skips."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data: {SHARED} is absent")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def own_code_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep compiled code in a temporary folder: no test meets what an earlier run left, or the user's own."""
    folder = tmp_path_factory.mktemp("code-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAVEJIT_CACHE_DIR", str(folder))
        yield folder
