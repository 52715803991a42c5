from nmfcore.adapters.stages import permute, told

with told(snakemake.log[0]):
    permute(
        snakemake.input.matrix,
        int(snakemake.wildcards.rank),
        snakemake.params.settings,
        snakemake.output.json,
    )
