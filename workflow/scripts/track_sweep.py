from nmfcore.adapters.job_log import told
from nmfcore.adapters.store import SweepFolder
from nmfcore.adapters.tracking import track_sweep

with told(snakemake.log[0]):
    track_sweep(
        SweepFolder(snakemake.params.folder),
        marker=snakemake.output.marker,
        **snakemake.params.tracking,
    )
