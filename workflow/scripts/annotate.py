from nmfcore.adapters.stages import annotate_samples, told

with told(snakemake.log[0]):
    annotate_samples(
        snakemake.input.matrix,
        snakemake.input.matrix_json,
        snakemake.input.get("annotations") or None,
        snakemake.output.json,
    )
