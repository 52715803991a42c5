from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.prepare import prepare_matrix

with told(snakemake.log[0]):
    prepare_matrix(
        snakemake.params.source,
        snakemake.params.annotations,
        snakemake.params.loss,
        snakemake.output.npz,
        snakemake.output.json,
        snakemake.params.copies,
    )
