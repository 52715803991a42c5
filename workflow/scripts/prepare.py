from nmfcore.adapters.stages import prepare_matrix, told

with told(snakemake.log[0]):
    prepare_matrix(
        snakemake.params.source,
        snakemake.params.annotations,
        snakemake.output.npz,
        snakemake.output.json,
        snakemake.params.copies,
    )
