"""Result files → MLflow: a projection that can be made, repeated and thrown away at any time.

Nothing here computes or decides; it reads finished files and shows them. Publishing is idempotent,
ends no run as RUNNING, and never fails a sweep: what could not be published is reported as pending,
with the command that publishes it later. MLflow is imported inside functions, by no other module
of the library.
"""

from nmfcore.adapters.tracking.places import Destination, hide, redact, tracking_uri
from nmfcore.adapters.tracking.publishing import (
    PublishReport,
    initialise,
    publish_fits,
    publish_folder,
    publish_sweep,
    track_fits,
    track_sweep,
)

__all__ = [
    "Destination",
    "PublishReport",
    "hide",
    "initialise",
    "publish_fits",
    "publish_folder",
    "publish_sweep",
    "redact",
    "track_fits",
    "track_sweep",
    "tracking_uri",
]
