import pytest

from echopair.augment.waveform.packages import check_package


def test_a_package_that_is_not_installed_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        ValueError, match=r"^name=sonar needs the package no_such_package.*pip install '.\[sonar\]'"
    ):
        check_package("sonar", "no_such_package", extra="sonar")


def test_an_installed_package_is_not_refused() -> None:
    check_package("white_noise", "numpy", extra="noise")
