"""Result files → MLflow: a projection that can be made, repeated and thrown away at any time.

Nothing here computes or decides; it reads finished files and shows them. Publishing is idempotent,
ends no run as RUNNING, and never fails a sweep: what could not be published is reported as pending,
with the command that publishes it later. MLflow is imported inside functions, by no other module
of the library.
"""

from nmfcore.adapters.tracking.places import Destination, redact, tracking_uri
from nmfcore.adapters.tracking.publishing import (
    PublishReport,
    initialise,
    initialise_tracking,
    publish_folder,
    publish_runs,
    publish_sweep,
    track_runs,
    track_sweep,
)

__all__ = [
    "Destination",
    "PublishReport",
    "initialise",
    "initialise_tracking",
    "publish_folder",
    "publish_runs",
    "publish_sweep",
    "redact",
    "track_runs",
    "track_sweep",
    "tracking_uri",
]
