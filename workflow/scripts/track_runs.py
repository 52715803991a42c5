from nmfcore.adapters.stages import told
from nmfcore.adapters.tracking import track_runs

with told(snakemake.log[0]):
    track_runs(
        snakemake.input.npz,
        settings=None,
        sweep_name=snakemake.params.sweep,
        marker=snakemake.output.marker,
        **snakemake.params.tracking,
    )
