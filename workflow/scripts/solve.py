from nmfcore.adapters.stages import solve, told

with told(snakemake.log[0]):
    solve(
        snakemake.input.matrix,
        snakemake.input.recommendation,
        snakemake.params.solutions,
        snakemake.params.validation,
        snakemake.output.npz,
    )
