"""The stages and what each declares, as a picture: columns by depth, arrows to what a stage needs."""

from html import escape

BOX, GAP, PITCH = (116, 34), 64, 58  # width and height of a box, space between columns, distance between rows


def columns(needs: dict[str, list[str]]) -> list[list[str]]:
    """Stages by depth: as far to the right as the stages that need it allow, those with the longest arrows on top."""
    depth: dict[str, int] = {}
    for stage, earlier in needs.items():  # in order, so what a stage needs has its depth already
        depth[stage] = 1 + max((depth[each] for each in earlier), default=-1)
    for stage in reversed(needs):
        users = [depth[user] for user in needs if stage in needs[user]]
        depth[stage] = min(users) - 1 if users else depth[stage]

    def reach(stage: str) -> int:
        return max((depth[stage] - depth[each] for each in needs[stage]), default=0)

    return [
        sorted((stage for stage in needs if depth[stage] == column), key=reach, reverse=True)
        for column in range(1 + max(depth.values()))
    ]


def draw(needs: dict[str, list[str]]) -> str:
    """SVG of the stages; `needs` maps each, in order, to those it declares."""
    width, height = BOX
    grid = columns(needs)
    rows = max(map(len, grid))
    corner = {
        stage: (column * (width + GAP) + 2, round((rows - len(stages)) * PITCH / 2 + row * PITCH) + 2)
        for column, stages in enumerate(grid)
        for row, stage in enumerate(stages)
    }
    parts = []
    for stage, earlier in needs.items():
        for each in earlier:
            (x, y), (to_x, to_y) = corner[stage], corner[each]
            y, to_x, to_y = y + height / 2, to_x + width, to_y + height / 2
            near, bend = to_x + GAP, to_x + GAP / 2  # level over the columns between, then down to the box
            path = f"M{x} {y} L{near} {y} C{bend} {y} {bend} {to_y} {to_x + 7} {to_y}"
            parts.append(f'<path d="{path}" fill="none" stroke="currentColor" marker-end="url(#arrow)"/>')
    for stage, (x, y) in corner.items():
        parts.append(
            f'<a href="../stages/{stage}/"><rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6"'
            ' fill="var(--md-code-bg-color, #eee)" stroke="currentColor"/>'
            f'<text x="{x + width / 2}" y="{y + height / 2}" text-anchor="middle" dominant-baseline="central"'
            f' fill="currentColor">{escape(stage)}</text></a>'
        )
    size = f"{len(grid) * (width + GAP) - GAP + 4} {rows * PITCH - PITCH + height + 4}"
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="currentColor"/></marker></defs>'
    )
    label = escape("; ".join(f"{stage} needs {', '.join(earlier) or 'no stage'}" for stage, earlier in needs.items()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-label="{label}"'
        f' font-size="14" font-family="sans-serif" style="width: 100%">{arrow}{"".join(parts)}</svg>'
    )
