"""Our folders are installed as top-level packages: nobody else's distribution may own one of those names."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGES = ("cli", "tui", "enclave", "vault", "rag", "storage")
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("package", PACKAGES)
def test_a_top_level_package_is_ours_alone(package: str) -> None:
    assert set(packages_distributions()[package]) == {"coffer"}


def test_the_wire_folder_is_no_package() -> None:
    assert (ROOT / "proto").is_dir()
    assert not list((ROOT / "proto").rglob("__init__.py"))
