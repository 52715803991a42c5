"""The dashboard in a browser: every link that the command prints opens the view that it names."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from visits import Visit

from nmfcore.adapters import tracking
from nmfcore.adapters.store import SweepFolder
from nmfcore.adapters.tracking import Destination

WAIT_MS = 120_000


@pytest.fixture(scope="module")
def dashboard(browser: Any, swept_project: Path, tmp_path_factory: Any) -> Iterator[dict[str, str]]:
    """Addresses by title, as the command prints them, over two sweeps of one file."""
    results = tmp_path_factory.mktemp("dashboard") / "results"
    for name in ("small", "again"):
        shutil.copytree(swept_project / "results/small", results / name)
        report = tracking.publish_folder(results / name, Destination.of(None, None, results))
        assert report.pending is None
    command = [sys.executable, "-m", "nmfcore.adapters.tracking", "dashboard", str(results)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    links: dict[str, str] = {}
    sweep = ""
    for line in server.stdout:
        if found := re.match(r"  (.+?) +(http://\S+)$", line):
            title, address = found.groups()
            sweep = sweep if title.startswith("·") else title.split(":")[0]
            links[f"{sweep} {title}" if title.startswith("·") else title] = address
        elif "Ctrl-C" in line:
            break
    yield links
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=30)
    server.stdout.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(WAIT_MS)
    yield Visit(context.new_page())
    context.close()


def assert_local(visit: Visit) -> None:
    assert visit.requests
    assert [url for url in visit.requests if not url.startswith("http://127.0.0.1:")] == []


def test_the_sweeps_show_their_curves_over_the_rank(
    dashboard: dict[str, str], visit: Visit
) -> None:
    visit.page.goto(dashboard["all sweeps"])
    for title in ("How well does it fit?", "Do the starts agree?"):
        visit.page.get_by_text(title).first.wait_for()
    visit.page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
    assert_local(visit)


def test_a_sweeps_run_tells_the_decision_and_links_on(
    dashboard: dict[str, str], visit: Visit, finished_sweep: Path
) -> None:
    headline = SweepFolder(finished_sweep).recommendation["headline"]
    visit.page.goto(dashboard["small: rank 3 (high)"])
    visit.page.get_by_text(headline).first.wait_for()
    link = visit.page.get_by_role("link", name="Every criterion as a curve")
    link.first.wait_for()
    visit.page.goto(
        dashboard["small: rank 3 (high)"].split("#")[0] + link.first.get_attribute("href")
    )
    visit.page.get_by_text("amari_instability").first.wait_for()  # the first, as they are sorted
    visit.page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
    assert_local(visit)


def test_the_report_is_shown_in_place_and_answers(dashboard: dict[str, str], visit: Visit) -> None:
    visit.page.goto(dashboard["small · report"])
    report = visit.page.frame_locator("iframe")
    report.get_by_text("How many parts does").wait_for()
    report.locator("label[for='pick-2']").click()
    report.locator(".panel-2").first.wait_for(state="visible")
    assert_local(visit)


def test_the_fits_of_a_sweep_are_grouped_by_rank(dashboard: dict[str, str], visit: Visit) -> None:
    visit.page.goto(dashboard["small · fits by rank"])
    for rank in (1, 2, 3, 4):
        visit.page.get_by_text(f"Group: {rank}").first.wait_for()
    visit.page.get_by_text("The starts of a rank, on average").first.wait_for()
    visit.page.locator(".js-plotly-plot .barlayer .point").first.wait_for()
    assert_local(visit)


def test_two_sweeps_of_one_file_are_compared(dashboard: dict[str, str], visit: Visit) -> None:
    visit.page.goto(dashboard["compare again, small"])
    for name in ("again", "small"):
        visit.page.get_by_text(name, exact=True).first.wait_for()
    visit.page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for()
    visit.page.goto(dashboard["compare again, small · settings side by side"])
    visit.page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    assert_local(visit)
