"""Hooks of MkDocs: the pages of the reference that are generated at build time, and their places in the navigation."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import config_reference

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "augment", "pipeline", "tuning")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the API into the navigation, below the section `API`."""
    assert config.nav is not None
    config.nav.append({"API": [{_title(name): _page(name)} for name in api_modules()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for uri, content in config_reference.PAGES.items():
        files.append(File.generated(config, uri, content=content()))
    for package, modules in api_modules().items():
        lines = [f"# {_title(package)}", "", *(f"::: {module}\n" for module in modules)]
        files.append(File.generated(config, _page(package), content="\n".join(lines)))
    return files


def api_modules() -> dict[str, list[str]]:
    """What stands on each page of the API, in the order of the navigation: the modules of a package."""
    # Of its methods, most are inherited from the class that does not know the Hub and MLflow.
    members = "[embed, embed_crops, embedding_dim, load, save]"
    pages = {"echopair": [f"echopair.AudioEncoder\n    options:\n      inherited_members: {members}"]}
    for package in PACKAGES:
        for folder in sorted({file.parent for file in (ROOT / package).rglob("*.py")}):
            name = ".".join(("echopair", *folder.relative_to(ROOT).parts))
            modules = sorted(f"{name}.{file.stem}" for file in folder.glob("[!_]*.py"))
            if modules:
                pages[name] = [name, *modules]
    return pages


def _title(package: str) -> str:
    return "AudioEncoder" if package == "echopair" else package.removeprefix("echopair.")


def _page(package: str) -> str:
    return f"reference/api/{package}.md"
