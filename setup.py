"""Builds the compiled modules: their sources and their flags. Everything else is in pyproject.toml."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("src/_kernels")
HEADERS = [str(path) for pattern in ("*.h", "*.inc") for path in sorted(KERNELS.glob(pattern))]
# The split set runs the bodies of AVX-512 on AVX2: for the tests, not for wheels.
SPLIT = os.environ.get("FASTSEP_BUILD_SPLIT", "0") not in ("", "0")
C_SOURCES = [
    "dispatch.c",
    "isa_generic.c",
    "isa_avx2.c",
    "isa_avx512.c",
    "isa_neon.c",
    *(["isa_split.c"] if SPLIT else []),
]
DRIVERS = [
    *["pointwise", "direct", "depthwise", "separable", "inverted_residual", "excite"],
    *["elementwise", "pooling", "usual_filter", "footprint", "missing"],
    *["lines", "line_borders", "line_turned", "line_unturned", "line_volume", "line_tiles", "line_stages"],
]
# Contraction off: an FMA is only where simd.h says so. No -march: targets are set by pragma in the stubs.
FLAGS = [
    "-std=gnu11",
    "-O3",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-g0",
    "-Wall",
    "-Wno-unused-function",
    "-Wno-psabi",  # no vector crosses a call between files
]
SERIAL = os.environ.get("FASTSEP_NO_OPENMP", "0") not in ("", "0")
DIRECTIVES = {"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True}

NO_OPENMP = """\
fastsep needs a C compiler with OpenMP; this one did not compile a program with -fopenmp. Install one
(Debian and Ubuntu: gcc; macOS: `brew install gcc`, then CC=gcc-14), or set FASTSEP_NO_OPENMP=1 to build a
version that uses one thread."""
MSVC = """\
fastsep's kernels are written in the vector extensions of GCC and Clang, which MSVC does not have. Build with
MinGW-w64's gcc (setup.cfg: [build_ext] compiler = mingw32)."""


class BuildExtensions(build_ext):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            sys.exit(MSVC)
        openmp = [] if SERIAL else ["-fopenmp"]
        if openmp and not self.compiles(openmp):
            sys.exit(NO_OPENMP)
        for extension in self.extensions:
            extension.extra_compile_args = [*FLAGS, *openmp]
            extension.extra_link_args = openmp
        super().build_extensions()

    def compiles(self, flags: list[str]) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            command = [*self.compiler.linker_exe, str(source), "-o", str(Path(folder, "probe")), *flags]
            try:
                return subprocess.run(command, capture_output=True).returncode == 0
            except OSError:
                return False


def extension(name: str, *c_sources: str) -> Extension:
    sources = [KERNELS / f"{name}.pyx", *(KERNELS / source for source in c_sources)]
    return Extension(
        f"fastsep._{name}",
        [str(s) for s in sources],
        include_dirs=[str(KERNELS)],
        define_macros=[("FS_WITH_SPLIT", str(int(SPLIT)))],
        depends=HEADERS,
    )


# What all modules share of Cython itself, once; cythonize writes the file.
shared = Extension("fastsep._cyutility", ["build/cython/_cyutility.c"])
setup(
    packages=[
        *["fastsep", "fastsep.ndimage", "fastsep.network_tables"],
        *["fastsep.onnx", "fastsep.onnx._operators", "fastsep.onnx._optimise"],
    ],
    package_dir={"": "src"},
    package_data={"fastsep": ["*.pxd", "*.pyi", "py.typed"], "fastsep.network_tables": ["*.txt", "*.md"]},
    ext_modules=cythonize(
        [
            extension("isa", *C_SOURCES),
            *(
                extension(name)
                for name in ["arrays", "threads", "job", "usual", "network", *DRIVERS, "naive", "roofline"]
            ),
            shared,
        ],
        include_path=["src"],
        build_dir="build/cython",
        shared_utility_qualified_name="fastsep._cyutility",
        compiler_directives={**DIRECTIVES, "freethreading_compatible": True},
    ),
    cmdclass={"build_ext": BuildExtensions},
)
