from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.prepare import annotate_samples

with told(snakemake.log[0]):
    annotate_samples(
        snakemake.input.matrix,
        snakemake.input.matrix_json,
        snakemake.input.get("annotations") or None,
        snakemake.output.json,
    )
