"""The version, from the installed package's metadata: pyproject.toml is its one home."""

from importlib.metadata import version

__version__ = version("fastsep")
