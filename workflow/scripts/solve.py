from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.solve import solve

with told(snakemake.log[0]):
    solve(
        snakemake.input.matrix,
        snakemake.input.recommendation,
        snakemake.params.solutions,
        snakemake.params.validation,
        snakemake.output.npz,
        snakemake.threads,
    )
