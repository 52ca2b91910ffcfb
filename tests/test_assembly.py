"""What `make asm` counts: loops, and vectors on the stack; it fails where there are more than allowed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tools"))

import assembly
import check_assembly

# A loop over rows of two FMAs inside a loop over columns; its second half, at 40, lies behind the return.
NESTED = """
0000000000000000 <kernel_f32_avx2>:
   0: push   %rbp
   1: {setup}
   4: vmovups (%rsi),%ymm1
   8: {in_loop}
   c: vfmadd231ps (%rdi),%ymm1,%ymm0
  10: cmp    %rax,%rdx
  12: jne    40 <kernel_f32_avx2+0x40>
  14: add    $0x20,%rcx
  18: vmovaps %ymm0,-0x50(%rbp)
  1c: cmp    %rcx,%r8
  20: jne    4 <kernel_f32_avx2+0x4>
  24: ret
  40: {behind}
  44: vfmadd231ps 0x20(%rdi),%ymm1,%ymm0
  48: jmp    8 <kernel_f32_avx2+0x8>
"""
NOP = "nop"


def loops(setup: str = NOP, in_loop: str = NOP, behind: str = NOP, isa: str = "avx2") -> list[assembly.Loop]:
    listing = NESTED.format(setup=setup, in_loop=in_loop, behind=behind)
    return assembly.inner_loops(assembly.functions(listing)["kernel_f32_avx2"], isa)


def test_the_innermost_loop_is_found_with_what_lies_elsewhere() -> None:
    (loop,) = loops("mov    %rsp,%rbp")
    assert loop == assembly.Loop(fmas=2, loads=2)


@pytest.mark.parametrize("place", ["in_loop", "behind"])
@pytest.mark.parametrize(
    ("text", "stored", "reloaded"),
    [
        ("vmovaps %ymm0,-0x70(%rbp)", 1, 0),
        ("vmovaps -0x70(%rbp),%ymm3", 0, 1),
        ("vfmadd231ps -0x70(%rbp),%ymm1,%ymm0", 0, 1),
        ("vmovups %ymm0,0x40(%rsp)", 1, 0),
        ("vmovaps (%rsp),%ymm0", 0, 1),
        ("vmovss 0x1c(%rsp),%xmm2", 0, 1),
        ("mov    -0x70(%rbp),%rax", 0, 0),
        ("vmovaps %ymm0,-0x70(%rbx)", 0, 0),
        ("vmovaps 0x40(%rsp,%rax,1),%ymm0", 0, 0),
    ],
)
def test_vectors_on_the_stack(place: str, text: str, stored: int, reloaded: int) -> None:
    (loop,) = loops("mov    %rsp,%rbp", **{place: text})
    assert (loop.stored, loop.reloaded) == (stored, reloaded)


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ("vmovups (%rsi,%r12,1),%ymm1", 1),
        ("vmovups %ymm1,(%rsi,%r12,1)", 0),
        ("vfmadd213ps 0x0(%rip),%ymm5,%ymm0        # 58eb1 <activate_f32_avx2+0x6c1>", 1),
        ("vaddps %ymm1,%ymm2,%ymm3", 0),
    ],
)
def test_loads_are_no_stores(text: str, loads: int) -> None:
    assert assembly.count(text, "avx2", framed=False).loads == loads


def test_rbp_is_a_register_like_any_other_where_it_is_no_frame() -> None:
    (loop,) = loops("mov    %rdi,%rbp", in_loop="vmovaps -0x70(%rbp),%ymm3")
    assert (loop.stored, loop.reloaded, loop.loads) == (0, 0, 3)


@pytest.mark.parametrize(
    ("text", "stored", "reloaded"),
    [
        ("stp q3, q7, [sp, #208]", 2, 0),
        ("ldr q28, [sp, #224]", 0, 1),
        ("ldr q28, [x29, #16]", 0, 1),
        ("ldr q28, [x2, #16]", 0, 0),
        ("ldr x2, [sp, #16]", 0, 0),
    ],
)
def test_vectors_on_the_stack_of_arm(text: str, stored: int, reloaded: int) -> None:
    counts = assembly.count(text, "neon", framed=False)
    assert (counts.stored, counts.reloaded) == (stored, reloaded)


def test_a_switch_in_a_loop_keeps_its_cases() -> None:
    text = """
0000000000000000 <switch_f32_avx2>:
   0: mov    %rdi,%rax
   4: notrack jmp *%rax
   8: vmovaps %ymm0,0x20(%rsp)
   c: jmp    0 <switch_f32_avx2>
  10: vmovaps 0x20(%rsp),%ymm0
  14: jne    0 <switch_f32_avx2>
  18: ret
"""
    (loop,) = assembly.inner_loops(assembly.functions(text)["switch_f32_avx2"], "avx2")
    assert (loop.stored, loop.reloaded) == (1, 1)


def stack_failures(setup: str, in_loop: str) -> list[str]:
    return check_assembly.stack_failures({"kernel_f32_avx2": loops(setup, in_loop)}, "avx2")


def test_a_new_spill_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    spill = "mov    %rsp,%rbp", "vmovaps -0x70(%rbp),%ymm3"
    assert not stack_failures("mov    %rsp,%rbp", NOP)
    (failure,) = stack_failures(*spill)
    assert "kernel_f32_avx2" in failure
    allowed = check_assembly.Allowed("kernel", 0, 1, "a reason")
    monkeypatch.setitem(check_assembly.ALLOWED, "avx2", (allowed,))
    assert not stack_failures(*spill)
    monkeypatch.setitem(check_assembly.ALLOWED, "avx2", (allowed._replace(stored=5, reloaded=0),))
    assert stack_failures(*spill)


def hot_failures(monkeypatch: pytest.MonkeyPatch, *texts: str) -> list[str]:
    """Of a hot kernel whose loop holds the texts as well as its FMAs."""
    monkeypatch.setitem(check_assembly.HOT, "avx2", ("kernel",))
    monkeypatch.setitem(check_assembly.HOT_SHORT, "avx2", ())
    found = [assembly.count(text, "avx2", framed=False) for text in texts]
    loop = sum(found, assembly.Loop())
    return check_assembly.hot_failures({"kernel_f32_avx2": [loop], "kernel_f64_avx2": [loop]}, "avx2")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (NOP, False),
        ("vmulps %ymm1,%ymm2,%ymm3", True),
        ("vmulps %xmm1,%xmm2,%xmm3", False),
        ("vmulss %xmm1,%xmm2,%xmm3", True),
        ("vfmadd231ss (%rdi),%xmm1,%xmm0", True),
        ("call   1000 <malloc>", True),
    ],
)
def test_a_hot_loop_holds_nothing_but_fmas(monkeypatch: pytest.MonkeyPatch, text: str, wrong: bool) -> None:
    failures = hot_failures(monkeypatch, "vfmadd231ps (%rdi),%ymm1,%ymm0", text)
    assert len(failures) == 2 * wrong


@pytest.mark.parametrize("text", ["vmulps %ymm1,%ymm2,%ymm3", "vfmadd231ps (%rdi),%xmm1,%xmm0"])
def test_a_hot_loop_without_fmas_fails(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    failures = hot_failures(monkeypatch, text)
    assert any("no inner loop with an FMA" in failure for failure in failures)
    assert "the object of avx2 holds no FMA at all" in failures


def test_every_exception_has_a_reason() -> None:
    for allowed in check_assembly.ALLOWED.values():
        assert len({entry.function for entry in allowed}) == len(allowed)
        assert all(entry.reason and entry.stored + entry.reloaded > 0 for entry in allowed)
