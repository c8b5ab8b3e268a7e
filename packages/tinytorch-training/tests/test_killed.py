"""A run that is killed again and again ends with the very bytes of one that was left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import numpy as np

SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from problems import loader, pairs, trainer
from tinytorch.training import EarlyStopping

def pause(run):
    print(run.step, flush=True)
    time.sleep({pause})

trained = trainer(
    dropout=0.4, metrics=["accuracy"], clip_norm=1.0, accumulate=2, checkpoint={path!r}, checkpoint_every=2,
    callbacks=[EarlyStopping(patience=99), pause],
)
trained.fit(loader(prefetch=1), pairs(1), steps=120, resume=True, progress=False)
"""


def start(path: Path, pause: float) -> subprocess.Popen[str]:
    script = SCRIPT.format(tests=str(Path(__file__).parent), path=str(path), pause=pause)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_killed_at_any_moment_it_ends_where_the_unkilled_run_ends(tmp_path: Path) -> None:
    unkilled = start(tmp_path / "unkilled", pause=0.0)
    unkilled.communicate()
    assert unkilled.returncode == 0

    rng = np.random.default_rng()
    path = tmp_path / "killed" / "run"
    path.parent.mkdir()
    kills = 0
    while kills < 5:
        process = start(path, pause=0.002)
        assert process.stdout is not None
        process.stdout.readline()  # it trains
        sleep(rng.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            break
        kills += 1
    assert kills >= 1
    last = start(path, pause=0.0)
    last.communicate()
    assert last.returncode == 0
    assert path.read_bytes() == (tmp_path / "unkilled").read_bytes()
