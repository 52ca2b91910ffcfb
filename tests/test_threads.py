"""Threads: the same bits from any number of them, limits obeyed, forks survived, Ctrl-C heard."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from bounds import assert_same_bits
from calls import CASES, FUNCTIONS, PLANS, channels_first, compute
from hypothesis import given
from programs import output_of
from strategies import (
    Case,
    conv_cases,
    depthwise_cases,
    inverted_residual_cases,
    numbers,
    pointwise_cases,
    separable_cases,
)

import fastsep
from fastsep import _threads


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [5, 37, 64])
@pytest.mark.parametrize("family", CASES)
def test_same_bits_for_any_number_of_threads(family: str, size: int, data_format: str, dtype: Any) -> None:
    case = CASES[family](dtype, size=size)
    if data_format == "channels_first":
        case = channels_first(case)
    expected = compute(family, case, threads=1)
    for threads in (2, 3, 7, -1, None):
        assert_same_bits(compute(family, case, threads=threads), expected)


@pytest.mark.usefixtures("isa")
@given(conv_cases())
def test_same_bits_in_every_conv(case: Case) -> None:
    assert_same_bits(case.call(fastsep.conv, threads=3), case.call(fastsep.conv, threads=1))


@pytest.mark.usefixtures("isa")
@given(depthwise_cases())
def test_same_bits_in_every_depthwise(case: Case) -> None:
    assert_same_bits(
        case.call(fastsep.depthwise_conv, threads=3), case.call(fastsep.depthwise_conv, threads=1)
    )


@pytest.mark.usefixtures("isa")
@given(pointwise_cases())
def test_same_bits_in_every_pointwise(case: Case) -> None:
    assert_same_bits(
        case.call(fastsep.pointwise_conv, threads=3), case.call(fastsep.pointwise_conv, threads=1)
    )


@pytest.mark.usefixtures("isa")
@given(separable_cases())
def test_same_bits_in_every_separable(case: Case) -> None:
    assert_same_bits(
        case.call(fastsep.separable_conv, threads=3), case.call(fastsep.separable_conv, threads=1)
    )


@pytest.mark.usefixtures("isa")
@given(inverted_residual_cases())
def test_same_bits_in_every_inverted_residual(case: Case) -> None:
    plan = case.plan(fastsep.InvertedResidual)
    assert_same_bits(case.run(plan, threads=3), case.run(plan, threads=1))


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("family", PLANS)
def test_plans_take_their_threads_from_the_constructor(family: str, threads: int) -> None:
    case = CASES[family](size=37)
    assert_same_bits(case.run(case.plan(PLANS[family], threads=threads)), compute(family, case, threads=1))


# ---- how many ---------------------------------------------------------------------------------------------


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def test_a_number_wins() -> None:
    for threads in (1, 2, 3, 7):
        assert _threads.resolve(threads) == threads


def test_all_is_no_more_than_the_cpus_of_this_process() -> None:
    assert 1 <= _threads.resolve(-1) <= usable_cpus()
    assert 1 <= _threads.resolve(None) <= _threads.resolve(-1)


def test_threadpoolctl_limits_are_obeyed() -> None:
    with threadpoolctl.threadpool_limits(1):
        assert _threads.resolve(None) == 1
        assert _threads.resolve(2) == 2
    with threadpoolctl.threadpool_limits(2, user_api="openmp"):
        assert _threads.resolve(None) == min(2, _threads.resolve(-1))


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_omp_num_threads_is_obeyed(limit: int) -> None:
    program = "from fastsep import _threads; print(_threads.resolve(None), _threads.resolve(-1))"
    automatic, everything = map(int, output_of(program, OMP_NUM_THREADS=str(limit)).split())
    assert automatic == min(limit, everything)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is set with Linux's call")
def test_affinity_is_obeyed() -> None:
    program = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from fastsep import _threads
        print(_threads.resolve(None), _threads.resolve(-1))
    """
    assert output_of(program) == "1 1\n"


def test_describe_says_how_many_threads_a_call_uses() -> None:
    plan = fastsep.SeparableConv(numbers(1, (3, 3, 64, 1), np.float32), numbers(2, (64, 64), np.float32))
    large, tiny = (1, 256, 256, 64), (1, 4, 4, 64)
    assert plan.describe(tiny).threads == 1
    assert plan.describe(large, threads=2).threads == 2
    assert plan.describe(large, threads=1).threads == 1
    assert plan.describe(large).threads == _threads.resolve(None)
    with threadpoolctl.threadpool_limits(1):
        assert plan.describe(large).threads == 1


@pytest.mark.parametrize(
    ("threads", "error"),
    [
        (0, ValueError),
        (-2, ValueError),
        (True, TypeError),
        (1.5, TypeError),
        ("2", TypeError),
        (2.0, TypeError),
    ],
)
@pytest.mark.parametrize("family", CASES)
def test_bad_numbers_of_threads(family: str, threads: Any, error: type[Exception]) -> None:
    case = CASES[family]()
    message = rf"threads.*{threads!r}"
    if family in FUNCTIONS:
        with pytest.raises(error, match=message):
            case.call(FUNCTIONS[family], threads=threads)
    with pytest.raises(error, match=message):
        case.plan(PLANS[family], threads=threads)
    plan = case.plan(PLANS[family])
    with pytest.raises(error, match=message):
        case.run(plan, threads=threads)
    with pytest.raises(error, match=message):
        plan.describe(case.operands["inputs"].shape, threads=threads)


# ---- neighbours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", PLANS)
def test_one_plan_in_many_python_threads(family: str, threads: int) -> None:
    case = CASES[family](size=33)
    plan = case.plan(PLANS[family])
    images = [case.operands["inputs"] * np.float32(scale) for scale in range(1, 9)]
    cases = [Case(case.operands | {"inputs": image}, case.options) for image in images]
    expected = [each.run(plan, threads=1) for each in cases]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(each.run, plan, threads=threads) for each in cases * 8]
        for number, job in enumerate(jobs):
            assert_same_bits(job.result(), expected[number % len(cases)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("threads", [None, 2])
def test_a_forked_child_computes(threads: int | None) -> None:
    """libgomp's workers do not survive a fork; a child that asked them to work would wait forever."""
    program = f"""
        import os, warnings
        import numpy as np
        from calls import CASES, PLANS
        from fastsep import _threads
        warnings.simplefilter("ignore")
        cases = {{family: CASES[family](size=64) for family in CASES}}
        plans = {{family: cases[family].plan(PLANS[family]) for family in CASES}}
        # The parent has workers that the child will lack.
        def bits(family, threads):
            return cases[family].run(plans[family], threads=threads).tobytes()
        expected = {{family: bits(family, 2) for family in CASES}}
        child = os.fork()
        if child == 0:
            same = all(bits(family, {threads}) == expected[family] for family in CASES)
            serial = _threads.resolve({threads}) == 1
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0 if bits("conv", 2) == expected["conv"] else 1)
            status = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
            os._exit(0 if same and serial and status == 0 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        # The parent still has its workers.
        print(all(bits(family, 2) == expected[family] for family in CASES))
        print(_threads.resolve(2))
    """
    assert output_of(program, timeout=60) == "0\nTrue\n2\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_multiprocessing_with_fork() -> None:
    program = """
        import multiprocessing
        import numpy as np
        from calls import CASES, compute

        def work(scale):
            case = CASES["separable"](size=48)
            case.operands["inputs"] *= np.float32(scale)
            return compute("separable", case).tobytes()

        expected = [work(scale) for scale in range(4)]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(work, range(4)) == expected)
    """
    assert output_of(program, timeout=60) == "True\n"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("conv", {"channels": 256, "filters": 256, "taps": 5, "size": 128}),
        ("depthwise", {"channels": 64, "taps": 63, "size": 192}),
        ("pointwise", {"channels": 2000, "filters": 2000, "size": 40}),
        ("separable", {"channels": 1024, "filters": 1024, "size": 80}),
        ("inverted residual", {"channels": 256, "expanded": 1536, "size": 96}),
        ("squeeze and excite", {"channels": 256, "expanded": 1536, "size": 96}),
    ],
)
def test_interrupt_stops_a_long_call(family: str, options: dict[str, int], threads: int) -> None:
    """Ctrl-C in the middle: the call is left with part of `out` unwritten, and the plan still works after it.

    The signal comes when the first output has been written; the generic kernels are the slowest, so that
    most of the call is still to be done.
    """
    program = f"""
        import numpy as np
        import fastsep
        from bounds import assert_same_bits
        from calls import CASES, PLANS
        from interrupting import interrupt_once_written
        fastsep.set_isa("generic")
        case = CASES[{family!r}](np.float64, **{options!r})
        case.options["activation"] = None
        for array in case.operands.values():
            array[...] = 1
        plan = case.plan(PLANS[{family!r}])
        inputs = case.operands["inputs"]
        corner = np.ascontiguousarray(inputs[:1, :3, :3])
        before = plan(corner, threads=1)
        out = np.full((*inputs.shape[:-1], before.shape[-1]), np.nan)
        first = out.reshape(-1, out.shape[-1])[0]

        watcher = interrupt_once_written(first)
        try:
            plan(inputs, out, threads={threads})
        except KeyboardInterrupt:
            print("interrupted", np.isnan(out).any())
        else:
            print("not interrupted")
        watcher.join()
        assert_same_bits(plan(corner, threads={threads}), before)
        print("usable")
    """
    assert output_of(program, timeout=200) == "interrupted True\nusable\n"


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_stops_a_filter_of_few_long_rows(threads: int) -> None:
    program = f"""
        import numpy as np
        import fastsep
        import fastsep.ndimage as ndi
        from interrupting import interrupt_once_written
        fastsep.set_isa("generic")
        x = np.ones((2, 500_000))
        out = np.full(x.shape, np.nan)
        watcher = interrupt_once_written(out[0])
        try:
            ndi.gaussian_filter1d(x, 300, output=out, threads={threads})
        except KeyboardInterrupt:
            print("interrupted", np.isnan(out).any())
        else:
            print("not interrupted")
        watcher.join()
    """
    assert output_of(program, timeout=200) == "interrupted True\n"
