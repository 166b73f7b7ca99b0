"""Packages that few augmentations need, and that are installed for those alone."""

import importlib.util


def check_package(augmentation: str, module: str, extra: str) -> None:
    """Refuse an augmentation whose package is not installed; the package itself is not loaded.

    Args:
        augmentation: name of the augmentation.
        module: what it imports.
        extra: the extra of echopair that brings it.

    Raises:
        ValueError: says what to install.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(
            f"name={augmentation} needs the package {module}, which is not installed: "
            f"pip install '.[{extra}]' in echopair's folder, or leave this augmentation out"
        )
