"""`report.html`: one self-contained page that states the answer, its evidence and how it was made."""

from nmfcore.adapters.report.criteria import CRITERIA
from nmfcore.adapters.report.page import render_report, write_report

__all__ = ["CRITERIA", "render_report", "write_report"]
