from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.solve import solve_rank

with told(snakemake.log[0]):
    solve_rank(
        snakemake.input.matrix,
        snakemake.input.matrix_json,
        list(snakemake.input.runs),
        int(snakemake.wildcards.rank),
        snakemake.params.n_seeds,
        snakemake.params.seeds,
        snakemake.output.npz,
    )
