from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.select import select

with told(snakemake.log[0]):
    select(
        list(snakemake.input.summaries),
        snakemake.params.settings,
        snakemake.output.tsv,
        snakemake.output.json,
    )
