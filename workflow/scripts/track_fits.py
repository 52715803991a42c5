from nmfcore.adapters.job_log import told
from nmfcore.adapters.tracking import track_fits

with told(snakemake.log[0]):
    track_fits(
        list(snakemake.input.runs),
        sweep_name=snakemake.params.sweep,
        marker=snakemake.output.marker,
        **snakemake.params.tracking,
    )
