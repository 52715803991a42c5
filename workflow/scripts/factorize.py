from nmfcore.adapters.stages import factorize_batch, told

with told(snakemake.log[0]):
    factorize_batch(
        snakemake.input.matrix,
        int(snakemake.wildcards.rank),
        int(snakemake.wildcards.first),
        int(snakemake.wildcards.last),
        snakemake.params.settings,
        snakemake.output.npz,
        snakemake.output.tsv,
        snakemake.threads,
    )
