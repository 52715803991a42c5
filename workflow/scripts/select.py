from nmfcore.adapters.stages import select, told

with told(snakemake.log[0]):
    select(
        list(snakemake.input.summaries),
        snakemake.params.settings,
        snakemake.output.tsv,
        snakemake.output.json,
    )
