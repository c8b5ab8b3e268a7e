"""A display can be saved as a picture that stands alone."""

from __future__ import annotations

from pathlib import Path

from tinytorch.training import Dashboard


def test_a_dashboard_is_saved_as_a_picture_that_loads_nothing(tmp_path: Path) -> None:
    dashboard = Dashboard(total_steps=10, title="a run")
    for step in range(1, 6):
        dashboard.update(step, loss=1 / step, lr=1e-3, count=32, seconds=0.01)
    dashboard.show_samples([("who?", "me", True)])
    dashboard.save_svg(tmp_path / "shown.svg", "a title")
    svg = (tmp_path / "shown.svg").read_text(encoding="utf-8")
    assert "a&#160;title" in svg or "a title" in svg
    assert "who?" in svg
    assert "url(http" not in svg
    assert "@font-face" not in svg
