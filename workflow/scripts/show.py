from pathlib import Path

from nmfcore.adapters.job_log import told
from nmfcore.adapters.showing import show
from nmfcore.adapters.store import SweepFolder

with told(snakemake.log[0]):
    show(
        SweepFolder(snakemake.params.folder),
        Path(snakemake.output.folder),
        snakemake.params.show["kind"],
        snakemake.params.show["reference"],
    )
