"""The pictures of growth say what was measured, and medians what several runs said."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.bench import charts
from tests.bench.figures import Figure, medians

_SVG = "{http://www.w3.org/2000/svg}"


def rates(*ours: float) -> list[Figure]:
    return [Figure("P4", 'views & "rows"', each, 200.0, "facts/s", 0.5, 10 ** (3 + n)) for n, each in enumerate(ours)]


def read(path: Path) -> ET.Element:
    return ET.fromstring(path.read_text())  # noqa: S314 our own


def points(tree: ET.Element, name: str) -> list[tuple[float, float]]:
    circles = [each for each in tree.iter(f"{_SVG}circle") if each.get("class") == name]
    return [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in circles]


def test_points_stand_where_size_and_value_say(tmp_path: Path) -> None:
    (path,) = charts.draw(rates(100, 50, 0, 25), tmp_path / "growth")
    assert path.name == "p4-views-rows.svg"
    tree = read(path)
    ours, floor = points(tree, "ours"), points(tree, "floor")
    across = (charts.WIDTH - charts.LEFT - charts.RIGHT) / 3
    assert [x for x, _ in ours] == pytest.approx([charts.LEFT + across * n for n in range(4)], abs=0.1)
    bottom, height = charts.HEIGHT - charts.BOTTOM, charts.HEIGHT - charts.TOP - charts.BOTTOM
    assert [y for _, y in ours] == pytest.approx([bottom - height * up for up in (0.5, 0.25, 0, 0.125)], abs=0.1)
    assert {y for _, y in floor} == {charts.TOP}
    assert "ours at 10,000: 50" in [each.text for each in tree.iter(f"{_SVG}title")]


def test_every_line_stays_inside_the_picture(tmp_path: Path) -> None:
    figures = [Figure("P7", "page", 0.7 * (n + 1), 1e-3, "ms", None, 10**n) for n in range(3, 8)]
    (path,) = charts.draw(figures, tmp_path)
    for x, y in [each for name in ("ours", "floor") for each in points(read(path), name)]:
        assert charts.LEFT <= x <= charts.WIDTH - charts.RIGHT
        assert charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM


def test_what_is_measured_at_one_or_two_sizes_has_no_picture(tmp_path: Path) -> None:
    assert charts.draw([*rates(1, 2), Figure("P3", "no size", 1, 1, "ms")], tmp_path) == []


def test_sizes_are_drawn_in_their_order_whatever_the_order_of_measuring(tmp_path: Path) -> None:
    (path,) = charts.draw(rates(1, 2, 3)[::-1], tmp_path)
    found = [x for x, _ in points(read(path), "ours")]
    assert found == sorted(found)


def test_of_several_runs_the_median_of_the_ratios_counts() -> None:
    runs = [[Figure("P1", "a code", ours, floor, "/s", 0.6)] for ours, floor in ((60, 100), (10, 100), (90, 10))]
    (figure,) = medians(runs)
    assert (figure.ours, figure.floor, figure.ratio, figure.reached) == (60, 100, 0.6, True)
    assert list(figure.ratios) == [0.6, 0.1, 9]


def test_one_run_stands_for_itself() -> None:
    figure = Figure("P1", "a code", 60, 100, "/s", 0.6)
    assert medians([[figure]]) == [figure]
    assert figure.kept()["ratio"] == 0.6
