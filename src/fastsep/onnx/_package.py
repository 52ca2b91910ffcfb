"""What reading a model takes of the package `onnx`: its messages, checker, schemas and inliner.

These are two of its modules, `onnx_ml_pb2` and the compiled `onnx_cpp2py_export`. `import onnx` loads a
hundred more (JSON, ml_dtypes, argparse …) that only writers of models need: 70 ms and 11 MB of memory, where
the two take 20 ms. So unless onnx is imported already, they are loaded by themselves, under their own names;
whoever imports onnx later gets these very modules.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_NAMES = ("onnx_ml_pb2", "onnx_cpp2py_export")
_lock = threading.Lock()


class Package:
    """The parts of onnx.

    Attributes
    ----------
    ModelProto, TensorProto, AttributeProto : type
    ValidationError, DecodeError : type
        What the checker raises, and what parsing.
    newest_opset : int
        Of the default domain.
    """

    def __init__(self, messages: Any, compiled: Any) -> None:
        self.ModelProto = messages.ModelProto
        self.TensorProto = messages.TensorProto
        self.AttributeProto = messages.AttributeProto
        self.ValidationError: type[Exception] = compiled.checker.ValidationError
        self.DecodeError: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
        self.newest_opset = int(compiled.defs.schema_version_map()[""][1])
        self._compiled = compiled

    @property
    def version(self) -> str:
        """Of the package that is installed."""
        return importlib.import_module("importlib.metadata").version("onnx")  # type: ignore[no-any-return]

    def check(self, model: Any) -> None:
        """What `onnx.checker.check_model` does; the first call takes some 20 ms to set up all schemas.

        Raises
        ------
        ValidationError
        """
        self._compiled.checker.check_model(model.SerializeToString(), False, False, False)

    def inlined(self, model: Any) -> Any:
        """Return the model without functions of its own, as `onnx.inliner.inline_local_functions` does."""
        return self.ModelProto.FromString(
            self._compiled.inliner.inline_local_functions(model.SerializeToString(), False)
        )

    def defaults(self, op: str, opset: int) -> Mapping[str, Any]:
        """Return the attributes of an operator that have defaults, as AttributeProtos by name."""
        attributes = self._compiled.defs.get_schema(op, opset, "").attributes
        found = {
            name: self.AttributeProto.FromString(attribute._default_value)
            for name, attribute in attributes.items()
        }
        return {name: value for name, value in found.items() if value.type}


def package() -> Package:
    """Return the parts of onnx.

    Raises
    ------
    ImportError
        The package is missing.
    """
    with _lock:
        modules = [] if "onnx" in sys.modules else _loaded() or _alone()
        return Package(*(modules or [importlib.import_module(f"onnx.{name}") for name in _NAMES]))


def _loaded() -> list[ModuleType]:
    """Return the modules that a session before this one has loaded."""
    found = [sys.modules.get(f"onnx.{name}") for name in _NAMES]
    return [module for module in found if module is not None] if all(found) else []


def _alone() -> list[ModuleType]:
    """Load the modules without what lies around them; none if they are not where they should be."""
    whole = importlib.util.find_spec("onnx")
    folder = None if whole is None else whole.submodule_search_locations
    if folder is None:
        return []
    modules = []
    for spec in [PathFinder.find_spec(f"onnx.{name}", folder) for name in _NAMES]:
        if spec is None or spec.loader is None:
            return []
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    # Only when they are complete: another thread may import onnx at any time.
    modules = [sys.modules.setdefault(module.__name__, module) for module in modules]
    sys.meta_path.insert(0, _LaterImport(modules))
    return modules


class _LaterImport:
    """Finds onnx once, when somebody imports it, so that the modules become its attributes.

    Python makes a module an attribute of its package when it loads the module, and these are loaded.
    """

    def __init__(self, modules: Sequence[ModuleType]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "onnx" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            # Neither class derives from those of importlib.abc, whose import takes 9 ms.
            spec.loader = _WithAttributes(spec.loader, self._modules)  # type: ignore[assignment]
        return spec


class _WithAttributes:
    """Loads a package that has some of its modules from the beginning."""

    def __init__(self, loader: Any, modules: Sequence[ModuleType]) -> None:
        self._loader = loader
        self._modules = modules

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        for each in self._modules:
            setattr(module, each.__name__.rpartition(".")[2], each)
        self._loader.exec_module(module)
