"""Optional packages that single augmentations need."""

import importlib.util


def check_package(augmentation: str, module: str, extra: str) -> None:
    """Raise if the optional package of an augmentation is not installed, without importing it.

    Args:
        augmentation: name of the augmentation.
        module: module of the package.
        extra: extra of echopair that installs it.

    Raises:
        ValueError: the package is not installed; the message says how to install it.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(
            f"name={augmentation} needs the package {module}, which is not installed: "
            f"pip install '.[{extra}]' in echopair's folder, or remove this augmentation from the policy"
        )
