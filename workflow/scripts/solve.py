from nmfcore.adapters.stages import solve, told

with told(snakemake.log[0]):
    solve(
        snakemake.input.matrix,
        snakemake.input.matrix_json,
        snakemake.input.recommendation,
        snakemake.params.runs,
        snakemake.params.n_seeds,
        snakemake.output.W,
        snakemake.output.H,
        snakemake.output.json,
    )
