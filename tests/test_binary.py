"""The compiled modules: no instruction of a newer CPU outside the functions that are meant for it."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastsep

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="this reads x86-64 ELF files"
)

MODULES = sorted(Path(fastsep.__file__).parent.glob("_*.so"))
TARGETS = re.compile(r"_(f32|f64|i16)_(avx2|avx512|split)(\.|$)")
# VEX- and EVEX-encoded instructions start with v; what else came with or after AVX: BMI, LZCNT, MOVBE, ADX.
# But pextrw is of SSE2.
NEWER = re.compile(
    r"v[a-z]|k(mov|or|and|test|unpck|shift|xnor|xor|add)[bwdq]|andn\b|bextr|bls(i|msk|r)|bzhi|mulx|pdep|pext(?!rw)"
    r"|rorx|s[ah]rx|shlx|lzcnt|movbe|ad[co]x\b"
)
LIBRARIES = re.compile(r"(linux-vdso|ld-linux[-\w]*|libc|libm|libgomp[-\w]*|libpthread)\.so(\.[\d.]+)*")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def instructions(module: Path) -> Iterator[tuple[str, str, str]]:
    """Function, mnemonic and operands of every instruction."""
    function = "(before the first symbol)"
    for line in run("objdump", "--disassemble", "--no-show-raw-insn", "--wide", str(module)).splitlines():
        if header := re.fullmatch(r"[0-9a-f]+ <(.+)>:", line):
            function = header[1]
        elif match := re.match(r"\s*[0-9a-f]+:\t(\S+)\s*(.*)", line):
            yield function, match[1], match[2]


def is_newer(mnemonic: str, operands: str) -> bool:
    return NEWER.match(mnemonic) is not None or re.search(r"%[yz]mm", operands) is not None


def test_there_are_modules() -> None:
    names = {module.name.split(".")[0] for module in MODULES}
    assert {"_isa", "_threads", "_depthwise", "_pointwise"} <= names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name.split(".")[0])
def test_newer_instructions_stay_in_their_functions(module: Path) -> None:
    count = 0
    strays = {}
    for function, mnemonic, operands in instructions(module):
        count += 1
        if is_newer(mnemonic, operands) and not TARGETS.search(function):
            strays[function] = f"{mnemonic} {operands}"
    assert count > 100, "objdump has disassembled next to nothing"
    assert strays == {}


def test_the_kernels_hold_what_they_are_named_for() -> None:
    (module,) = [module for module in MODULES if module.name.startswith("_isa.")]
    fused: dict[str, int] = {}
    generic = 0
    for function, mnemonic, operands in instructions(module):
        if function.endswith("_avx2") and mnemonic.startswith("vfm") and "%ymm" in operands:
            fused[function] = fused.get(function, 0) + 1
        generic += function.endswith("_generic") and mnemonic in ("mulps", "mulpd")
    for family in ("pointwise", "depthwise"):
        for dtype in ("f32", "f64"):
            assert any(family in function and dtype in function for function in fused), (family, dtype, fused)
    assert generic > 0


@pytest.mark.parametrize(("target", "register", "fmas"), [("avx2", "ymm", 12), ("avx512", "zmm", 16)])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_chains_beside_fmas_are_what_they_count(target: str, register: str, fmas: int, dtype: str) -> None:
    """The clock is measured by dependent additions: as many as are counted, none through memory."""
    (module,) = [module for module in MODULES if module.name.startswith("_isa.")]
    listing = run(
        "objdump", "--no-show-raw-insn", "--wide", f"--disassemble=clock_burst_{dtype}_{target}", str(module)
    )
    lines = re.findall(r"^\s*([0-9a-f]+):\t(.+)$", listing, re.MULTILINE)
    code = [(int(address, 16), text) for address, text in lines]
    chains = []
    for address, text in code:
        jump = re.match(r"j(?!mp)\w+ +([0-9a-f]+) ", text)  # a loop is tested at its end
        if jump is None or (begin := int(jump[1], 16)) > address:
            continue
        body = [text for at, text in code if begin <= at <= address]
        adds = [match[2] for text in body if (match := re.match(r"add +(%r\w+),(%r\w+)$", text))]
        assert len(set(adds)) == 1, body
        assert sum(text.startswith("vfmadd") and register in text for text in body) == fmas
        assert not any("(" in text for text in body)
        chains.append(len(adds))
    assert sorted(chains) == sorted(-(-9 * fmas // (8 * ports)) for ports in (1, 2, 4))


@pytest.mark.parametrize(
    "module", [m for m in MODULES if not m.name.startswith("_isa.")], ids=lambda m: m.name
)
def test_only_one_module_links_the_kernels(module: Path) -> None:
    assert not any(TARGETS.search(function) for function, _, _ in instructions(module))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name.split(".")[0])
def test_only_the_system_libraries_are_linked(module: Path) -> None:
    lines = run("ldd", str(module)).splitlines()
    assert len(lines) >= 2
    for line in lines:
        name = Path(line.split()[0]).name
        assert LIBRARIES.fullmatch(name), line


def test_the_detector_finds_what_it_looks_for() -> None:
    """Against a check that could not fail: mnemonics of both kinds."""
    newer = [("vaddps", "%xmm0,%xmm1,%xmm2"), ("shlx", "%eax,%ebx,%ecx"), ("kmovw", "%k1,%eax"), ("andn", "")]
    older = [("addps", "%xmm0,%xmm1"), ("shl", "%eax"), ("andnps", "%xmm0,%xmm1"), ("movb", ""), ("adc", "")]
    assert all(is_newer(*instruction) for instruction in newer)
    assert not any(is_newer(*instruction) for instruction in older)
    assert TARGETS.search("fs_pointwise_f32_avx2.constprop.0")
    assert TARGETS.search("pointwise_panel_1_f32_avx2")
    assert not TARGETS.search("pointwise_panel_1_f32_generic")
