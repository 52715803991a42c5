"""The report in a browser: offline, silent, accessible, and it answers to pointing and picking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from visits import Visit

Open = Callable[..., Visit]


@pytest.fixture
def open_report(browser: Any, finished_sweep: Path) -> Iterator[Open]:
    """Open the report without a network, in a window of a width and a colour scheme."""
    contexts = []

    def visit(width: int = 1280, scheme: str = "light", script: bool = True) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            offline=True,
            java_script_enabled=script,
        )
        contexts.append(context)
        visited = Visit(context.new_page())
        visited.page.goto((finished_sweep / "report.html").as_uri())
        return visited

    yield visit
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_loads_nothing_complains_of_nothing_and_is_accessible(
    open_report: Open, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    visit = open_report(width, scheme)
    for details in visit.page.locator("details").all():
        details.evaluate("details => details.open = true")
    found = axe.Axe().run(visit.page).response
    assert len(found["passes"]) > 20
    assert [(v["id"], v["impact"], v["nodes"][0]["html"]) for v in found["violations"]] == []
    assert len(visit.requests) == 1  # itself
    assert visit.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_of_the_window(open_report: Open, width: int) -> None:
    page = open_report(width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_and_light_differ(open_report: Open) -> None:
    colours = [
        open_report(scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert colours[0] != colours[1]


def shown(page: Any, kind: str) -> set[str]:
    """Ranks of which something of this kind is to be seen."""
    found = page.locator(f".{kind}").all()
    return {part.get_attribute("class").rpartition("-")[2] for part in found if part.is_visible()}


def test_pointing_at_a_rank_tells_its_values(open_report: Open, finished_sweep: Path) -> None:
    page = open_report().page
    assert shown(page, "readout") == {"3"}
    zone = page.locator("[aria-label^='Eight small charts'] .zone[data-rank='2'] path").first
    zone.scroll_into_view_if_needed()
    zone.hover()
    assert shown(page, "readout") == {"2"}
    assert shown(page, "panel") == {"3"}, "pointing picks nothing"
    lines = (finished_sweep / "selection/criteria.tsv").read_text().splitlines()
    value = dict(zip(lines[0].split("\t"), lines[2].split("\t"), strict=True))["held_out_error"]
    assert f"{float(value):.4f}" in page.locator(".readout-2").inner_text()
    page.mouse.move(2, 2)
    assert shown(page, "readout") == {"3"}


@pytest.mark.parametrize(
    "place",
    [
        "[aria-label^='Eight small charts'] .zone[data-rank='4'] path",
        "[aria-label^='Relative error over'] .zone[data-rank='4'] path",
        "[aria-label^='The components of ranks'] .zone[data-rank='4'] path",
        "[aria-label^='Stability, share'] .zone[data-rank='4'] path",
        "td[data-rank='4']",
        "label[for='pick-4']",
    ],
)
def test_picking_a_rank_shows_its_consensus_and_its_components(
    open_report: Open, place: str
) -> None:
    visit = open_report()
    target = visit.page.locator(place).first
    target.scroll_into_view_if_needed()
    target.click()
    assert shown(visit.page, "panel") == {"4"}
    assert (
        visit.page.locator("#consensus img:visible")
        .get_attribute("alt")
        .startswith("Consensus matrix of rank 4")
    )
    rows = visit.page.locator("[aria-label='Components of rank 4'] tbody tr:visible")
    assert rows.count() == 4
    assert visit.complaints == []


def test_a_rank_is_picked_by_keyboard(open_report: Open) -> None:
    page = open_report().page
    page.locator("#pick-3").focus()
    page.keyboard.press("ArrowLeft")
    assert shown(page, "panel") == {"2"}


def test_without_script_ranks_can_be_picked_all_the_same(open_report: Open) -> None:
    page = open_report(script=False).page
    page.locator("label[for='pick-2']").click()
    assert page.locator(".panel-2").first.is_visible()
    assert not page.locator(".panel-3").first.is_visible()


def test_on_paper_every_rank_is_shown(open_report: Open) -> None:
    page = open_report().page
    page.emulate_media(media="print")
    assert shown(page, "panel") == {"1", "2", "3", "4"}
    assert not page.locator(".picker").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_by_text("@article{LeeSeung1999").is_visible()
