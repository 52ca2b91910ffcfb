"""The size of everything that installing a library brings: its files and those of what it requires."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import fastsep
from bench.conftest import PEER_PACKAGES

REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def requirements(package: Distribution) -> list[str]:
    """Return the names of what the package requires on this machine, extras left out."""
    found = []
    for line in package.requires or ():
        condition = line.partition(";")[2]
        if "extra" in condition:
            continue
        matched = REQUIREMENT.match(line)
        assert matched is not None, f"{package.name} requires {line!r}"
        found.append(matched[0])
    return found


def with_requirements(names: Iterable[str]) -> dict[str, Distribution]:
    """Return the packages and everything they require, by name; what is not installed here is left out.

    A condition on the platform may name what this one does not need, and so does not have.
    """
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        waiting += requirements(found[name])
    return found


def size_of(package: Distribution) -> int:
    """Return the bytes of a package's files, compiled Python left out, for only a run writes it."""
    files = [Path(str(file.locate())) for file in package.files or () if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in files if file.is_file())


def size_of_ours() -> int:
    """Return the bytes of fastsep's files; an editable install lists none of them."""
    folder = Path(fastsep.__file__).parent
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")


def installed() -> dict[str, dict[str, int]]:
    """Return bytes by package, for each library and for both ways of ours."""
    found = {}
    ways = {name: [package] for name, package in PEER_PACKAGES.items()}
    for name, packages in {**ways, "fastsep": ["numpy", "onnx"], "fastsep.load": ["numpy"]}.items():
        sizes = {each: size_of(package) for each, package in with_requirements(packages).items()}
        if name.startswith("fastsep"):
            sizes["fastsep"] = size_of_ours()
        found[name] = sizes
    return found
