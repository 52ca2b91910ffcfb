"""What ONNX Runtime's callers pass along: honoured, without effect here, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROVIDERS = ("CPUExecutionProvider",)
# What changes results or asks for files; the message says what to do instead.
_REFUSED_CONFIG = {
    "session.set_denormal_as_zero": "subnormal numbers are always kept",
}


class SessionOptions:
    """Options of a session, by ONNX Runtime's names.

    Attributes
    ----------
    intra_op_num_threads : int
        0 follows OpenMP's limit; otherwise as `threads`.
    inter_op_num_threads, graph_optimization_level, execution_mode, enable_cpu_mem_arena
    enable_mem_pattern, enable_mem_reuse, log_severity_level
        Have no effect: steps run one after another, always optimised, in one arena.
    optimized_model_filepath, enable_profiling
        Must stay empty and False: `InferenceSession.save` and `summary` do this.
    """

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level: Any = 99
        self.execution_mode: Any = 0
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.log_severity_level = 2
        self.optimized_model_filepath = ""
        self.enable_profiling = False
        self._config: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keep an entry; a session refuses those that would change results."""
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
    if providers is None:
        if provider_options is not None:
            raise ValueError("provider_options needs providers; got providers=None")
        return
    if isinstance(providers, str) or not isinstance(providers, Sequence):
        raise TypeError(f"providers must be a list of names; got {providers!r}")
    names = [entry[0] if isinstance(entry, tuple) and entry else entry for entry in providers]
    if not set(PROVIDERS).intersection(name for name in names if isinstance(name, str)):
        raise ValueError(f"providers must hold {PROVIDERS[0]!r}, which is all there is here; got {names!r}")
    if provider_options is not None and len(provider_options) != len(names):
        raise ValueError(
            f"provider_options must hold one dict for each of the {len(names)} providers; "
            f"got {len(provider_options)}"
        )


def check_run_options(options: Any) -> None:
    """Raise if a run is to be anything but a plain run.

    Raises
    ------
    RuntimeError
    """
    if options is None:
        return
    if getattr(options, "terminate", False):
        raise RuntimeError("run_options.terminate is True: the run is not begun")
