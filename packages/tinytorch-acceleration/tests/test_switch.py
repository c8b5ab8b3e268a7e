"""Switching on and off, what is counted, and what happens where nothing can be compiled or kept."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

import tinytorch.acceleration
from tinytorch.acceleration import (
    Unserved,
    accelerating,
    compiled,
    disable_acceleration,
    enable_acceleration,
    is_accelerated,
    report,
    reset_report,
    serves,
    share,
    usable_cores,
)
from tinytorch.layers import Linear, changes, lower
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor, handlers, primitive


def test_version_is_that_of_the_distribution() -> None:
    assert tinytorch.acceleration.__version__ == version("tinytorch-acceleration")


def test_switching_is_idempotent_and_leaves_everything_as_it_was() -> None:
    before = handlers()
    enable_acceleration()
    enable_acceleration()
    assert is_accelerated() and len(handlers()) == len(before) + 1
    disable_acceleration()
    disable_acceleration()
    assert not is_accelerated() and handlers() == before


def test_with_blocks_nest_and_end_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), accelerating():
        with accelerating():
            pass
        assert is_accelerated()
        raise ZeroDivisionError
    assert not is_accelerated()


def test_lowered_functions_are_made_again() -> None:
    layer, before = Linear(2, 2), changes()
    with accelerating():
        during = changes()
        assert during > before and lower(layer) is not None
    assert changes() > during


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.ones((2, 3), np.float16), "dtype float16"),
        (np.ones((2, 3), np.int64), "dtype int64"),
        (np.ones((2, 3), np.float32).T, "not contiguous"),
    ],
)
def test_a_call_that_no_kernel_serves_is_computed_by_numpy_and_counted(x: Any, reason: str) -> None:
    plain = F.gelu(Tensor(x, x.dtype))
    with accelerating() as during:
        out = F.gelu(Tensor(x, x.dtype))
    np.testing.assert_array_equal(out.data, plain.data)
    assert out.dtype == plain.dtype and during["gelu"] == (0, {reason: 1})
    assert reason in str(during)


def test_the_report_counts_from_zero_again() -> None:
    with accelerating():
        F.gelu(Tensor([1.0]))
    assert report()["gelu"].served
    reset_report()
    assert not report()


def test_errors_are_those_of_numpy() -> None:
    with accelerating(), pytest.raises(ValueError, match="approximate is 'never'"):
        F.gelu(Tensor([1.0]), approximate="never")


def test_of_two_kernels_the_later_is_asked_first() -> None:
    @primitive
    def negate(x: Any, /) -> Any:
        return -x

    asked = []
    with accelerating():
        before = changes()
        for name in ("early", "late"):
            serves(negate)(lambda x, name=name: asked.append(name) or Unserved(name))  # type: ignore[func-returns-value]
        assert changes() > before
        assert negate(Tensor([1.0])).item() == -1
    assert asked == ["late", "early"] and report()["negate"] == (0, {"early": 1})


def test_threads_get_the_numbers_of_one_thread() -> None:
    xs = [np.linspace(-k, k, 200_000, dtype=np.float32) for k in range(1, 5)]
    with accelerating():
        expected = [F.gelu(Tensor(x)).data for x in xs]
        found: dict[int, Any] = {}

        def compute(k: int) -> None:
            for _ in range(5):
                found[k] = F.gelu(Tensor(xs[k])).data

        threads = [Thread(target=compute, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for k, each in enumerate(expected):
        np.testing.assert_array_equal(found[k], each)


def test_what_is_said_of_floating_point_errors_holds_in_all_threads() -> None:
    met = Barrier(2 if usable_cores() > 1 else 1)
    said: list[Any] = []

    def work(part: int) -> None:
        met.wait(60)  # each part is in a thread of its own
        said.append(np.geterr()["invalid"])

    with np.errstate(invalid="ignore"):
        share(work, 2)
    assert said == ["ignore", "ignore"]


def test_an_error_in_a_part_reaches_the_caller_and_later_jobs_run() -> None:
    def fail(part: int) -> None:
        if part == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        share(fail, 8)
    done: list[int] = []
    share(done.append, 8)
    assert sorted(done) == list(range(8))


SCRIPT = """
import numpy as np
from tinytorch.acceleration import accelerating, cache_folder
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor
with accelerating():
    print(F.gelu(Tensor([1.0])).item(), cache_folder())
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_without_a_folder_to_write_to_kernels_are_compiled_for_one_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(SCRIPT, NUMBA_CACHE_DIR=str(tmp_path / "file" / "below"))
    assert done.stdout.split() == ["0.8411920070648193", "None"], done.stderr


def test_what_was_compiled_is_kept_and_importing_imports_no_numba(tmp_path: Path) -> None:
    assert run("import sys, tinytorch.acceleration; assert 'numba' not in sys.modules").returncode == 0
    done = run(SCRIPT, NUMBA_CACHE_DIR=str(tmp_path))
    assert str(tmp_path) in done.stdout, done.stderr
    assert list(tmp_path.rglob("*gelu_rows*.nbc"))


def test_missing_numba_says_what_to_install() -> None:
    hide = "import sys; sys.modules['numba'] = None; import importlib.util as u\n"
    hide += "find = u.find_spec; u.find_spec = lambda name: None if name == 'numba' else find(name)\n"
    done = run(hide + SCRIPT)
    assert done.stderr.strip().endswith("acceleration: Numba is not installed; `pip install numba` brings it")


def test_a_compiled_function_computes_what_python_does() -> None:
    @compiled(reassociate=True)
    def add_up(x: Any) -> Any:
        total = x.dtype.type(0)
        for i in range(x.size):
            total += x[i]
        return total

    x = np.arange(1000.0)
    assert add_up(x) == add_up.function(x) == 499500.0
    assert "add_up" in repr(add_up)


def test_a_function_whose_surroundings_cannot_be_kept_is_compiled_for_one_process(tmp_path: Path) -> None:
    path = tmp_path / "page.py"
    path.write_text("import threading\nlock = threading.RLock()\ndef twice(x):\n    return x + one(x) - 1\n")
    names: dict[str, Any] = {"one": compiled(one).dispatcher}
    exec(compile(path.read_text(), str(path), "exec"), names)
    assert compiled(names["twice"])(1.5) == 3.0
    with pytest.raises(TypeError):  # its own errors stay its own
        compiled(names["twice"])(1.5, 2.5)


def one(x: Any) -> Any:
    return x + 1


def test_a_terminal_is_told_what_is_compiled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @compiled
    def twice(x: Any) -> Any:
        return x + x

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert twice(1.5) == 3 and twice(2.5) == 5
    assert capsys.readouterr().err == "acceleration: compiling twice(float64), once\n"
