"""What ONNX Runtime's callers pass along: honoured, without effect here, or refused."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from fastsep.onnx._graph import Graph, Port

PROVIDERS = ("CPUExecutionProvider",)
# What changes results or asks for files; the message says what to do instead.
_REFUSED_CONFIG = {
    "session.set_denormal_as_zero": "subnormal numbers are always kept",
}

_FIX_SIZES = "use add_free_dimension_override_by_name, or fix the sizes in the model"
_STORE = "write the values into the model, or beside it"
_ONE_PROVIDER = "the CPU is all there is here"
# What would change what a session computes, or is given; the message says what to do instead.
_REFUSED_CALLS = {
    "register_custom_ops_library": "operators are those of the standard alone",
    "add_initializer": _STORE,
    "add_external_initializers": _STORE,
    "add_external_initializers_from_files_in_memory": _STORE,
    "add_free_dimension_override_by_denotation": _FIX_SIZES,
    "add_provider": _ONE_PROVIDER,
    "add_provider_for_devices": _ONE_PROVIDER,
    "set_provider_selection_policy": _ONE_PROVIDER,
    "set_provider_selection_policy_delegate": _ONE_PROVIDER,
    "set_load_cancellation_flag": "a load cannot be cancelled",
}


class GraphOptimizationLevel(IntEnum):
    """What ONNX Runtime calls its levels; a session is always optimised."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(IntEnum):
    """What ONNX Runtime calls its orders of execution; here one step runs after another."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


def get_available_providers() -> list[str]:
    """Return ["CPUExecutionProvider"]."""
    return list(PROVIDERS)


def get_device() -> str:
    """Return "CPU"."""
    return "CPU"


class SessionOptions:
    """Options of a session, by ONNX Runtime's names; there are no others.

    Attributes
    ----------
    intra_op_num_threads : int
        0 follows OpenMP's limit; otherwise as `threads`.
    inter_op_num_threads, graph_optimization_level, execution_mode, execution_order
    enable_cpu_mem_arena, enable_mem_pattern, enable_mem_reuse, use_deterministic_compute
    use_per_session_threads, log_severity_level, log_verbosity_level, logid, profile_file_prefix
        Have no effect: steps run one after another, always optimised, in one arena, with the same bits every
        time.
    optimized_model_filepath, enable_profiling
        Must stay empty and False: `InferenceSession.save` and `summary` do this.
    """

    __slots__ = (
        "_config", "_sizes", "enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse",
        "enable_profiling", "execution_mode", "execution_order", "graph_optimization_level",
        "inter_op_num_threads", "intra_op_num_threads", "log_severity_level", "log_verbosity_level",
        "logid", "optimized_model_filepath", "profile_file_prefix", "use_deterministic_compute",
        "use_per_session_threads",
    )  # fmt: skip

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level: Any = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.execution_mode: Any = ExecutionMode.ORT_SEQUENTIAL
        self.execution_order: Any = 0
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.use_deterministic_compute = False
        self.use_per_session_threads = True
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.profile_file_prefix = "onnxruntime_profile_"
        self.optimized_model_filepath = ""
        self.enable_profiling = False
        self._config: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        """Return a function that refuses what cannot be done here, by its name in ONNX Runtime."""
        if name not in _REFUSED_CALLS:
            raise AttributeError(f"SessionOptions has no option {name!r}")

        def refuse(*arguments: Any, **named: Any) -> None:
            raise ValueError(f"sess_options.{name}: {_REFUSED_CALLS[name]}")

        return refuse

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Fix a size that the model leaves open under a name: it is planned when the model is loaded."""
        if not isinstance(name, str):
            raise TypeError(f"name must be that of an open size; got {name!r}")
        self._sizes[name] = _whole(size)

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keep an entry; a session refuses to flush subnormal numbers to zero, and ignores the others."""
        self._config[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """Return an entry.

        Raises
        ------
        RuntimeError
            There is none, as in ONNX Runtime.
        """
        if key not in self._config:
            raise RuntimeError(f"no session config entry {key!r}")
        return self._config[key]


def _whole(size: object) -> int:
    try:
        found = operator.index(size)  # type: ignore[arg-type]
    except TypeError:
        found = -1
    if found < 0:
        raise ValueError(f"size must be a number of at least 0; got {size!r}")
    return found


class RunOptions:
    """Options of a run, by ONNX Runtime's names.

    Attributes
    ----------
    terminate : bool
        A run with True is refused; one that is under way is not ended.
    log_severity_level, log_verbosity_level, logid, only_execute_path_to_fetches
        Have no effect.
    """

    __slots__ = (
        "_config", "log_severity_level", "log_verbosity_level", "logid", "only_execute_path_to_fetches",
        "terminate",
    )  # fmt: skip

    def __init__(self) -> None:
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.only_execute_path_to_fetches = False
        self.terminate = False
        self._config: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Keep an entry; none has an effect."""
        self._config[key] = value

    def get_run_config_entry(self, key: str) -> str:
        """Return an entry.

        Raises
        ------
        RuntimeError
            There is none, as in ONNX Runtime.
        """
        if key not in self._config:
            raise RuntimeError(f"no run config entry {key!r}")
        return self._config[key]

    def add_active_adapter(self, adapter: Any) -> None:
        """Refuse: an adapter would replace weights."""
        raise ValueError("run_options.add_active_adapter: what a model stores is constant")


def with_fixed_sizes(graph: Graph, options: Any) -> Graph:
    """Return the graph with the sizes that `add_free_dimension_override_by_name` fixes.

    Raises
    ------
    ValueError
        No input has an open size of that name.
    """
    fixed = options._sizes if isinstance(options, SessionOptions) else {}
    if not fixed:
        return graph
    there = {size for port in graph.inputs for size in port.shape or () if isinstance(size, str)}
    for name in fixed:
        if name not in there:
            raise ValueError(
                f"sess_options.add_free_dimension_override_by_name({name!r}, {fixed[name]}): "
                f"the open sizes of the model's inputs are {sorted(there)}"
            )
    return graph._replace(
        inputs=tuple(_with_sizes(port, fixed) for port in graph.inputs),
        outputs=tuple(_with_sizes(port, fixed) for port in graph.outputs),
    )


def _with_sizes(port: Port, fixed: Mapping[str, int]) -> Port:
    if port.shape is None:
        return port
    return port._replace(
        shape=tuple(fixed.get(size, size) if isinstance(size, str) else size for size in port.shape)
    )


def threads_of(options: Any, threads: int | None) -> int | None:
    """Return the threads of a session: its own argument, else what the options say.

    Raises
    ------
    TypeError, ValueError
        `options` is no SessionOptions; an option is refused.
    """
    if options is None:
        return threads
    if not hasattr(options, "intra_op_num_threads"):
        raise TypeError(
            "sess_options must be a SessionOptions of fastsep.onnx or onnxruntime, or None; "
            f"got {type(options).__name__}"
        )
    if getattr(options, "optimized_model_filepath", ""):
        raise ValueError(
            f"sess_options.optimized_model_filepath={options.optimized_model_filepath!r}: "
            "this session writes no ONNX file; session.save(path) writes the optimised network "
            "for fastsep.load"
        )
    if getattr(options, "enable_profiling", False):
        raise ValueError("sess_options.enable_profiling=True: use session.summary(), which times every step")
    for key, reason in _REFUSED_CONFIG.items():
        if _config_entry(options, key) not in (None, "", "0"):
            raise ValueError(f"sess_options sets {key!r}, which would change results: {reason}")
    count = options.intra_op_num_threads
    return threads if threads is not None or count == 0 else count


def _config_entry(options: Any, key: str) -> str | None:
    try:
        return str(options.get_session_config_entry(key))
    except (AttributeError, RuntimeError):
        return None


def check_providers(
    providers: Sequence[Any] | None, provider_options: Sequence[Mapping[str, Any]] | None
) -> None:
    """Raise unless the CPU is among the providers.

    Raises
    ------
    TypeError, ValueError
    """
    if provider_options is not None:
        _check_list("provider_options", provider_options, "dicts")
    if providers is not None:
        _check_list("providers", providers, "names")
    # ONNX Runtime takes an empty list for all there are.
    if not providers:
        if provider_options is not None:
            raise ValueError(f"provider_options needs providers; got providers={providers!r}")
        return
    names = [entry[0] if isinstance(entry, tuple) and entry else entry for entry in providers]
    if not set(PROVIDERS).intersection(name for name in names if isinstance(name, str)):
        raise ValueError(f"providers must hold {PROVIDERS[0]!r}, which is all there is here; got {names!r}")
    if provider_options is not None and len(provider_options) != len(names):
        raise ValueError(
            f"provider_options must hold one dict for each of the {len(names)} providers; "
            f"got {len(provider_options)}"
        )


def _check_list(name: str, value: object, of: str) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list of {of}; got {value!r}")


def check_run_options(options: Any) -> None:
    """Raise if a run is to be anything but a plain run.

    Raises
    ------
    TypeError, RuntimeError
    """
    if options is None:
        return
    if not hasattr(options, "terminate"):
        raise TypeError(
            "run_options must be a RunOptions of fastsep.onnx or onnxruntime, or None; "
            f"got {type(options).__name__}"
        )
    if options.terminate:
        raise RuntimeError("run_options.terminate is True: the run is not begun")
