from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.decide_ranks import decide_ranks_of_sweep

with told(snakemake.log[0]):
    decide_ranks_of_sweep(
        list(snakemake.input.summaries),
        snakemake.params.settings,
        snakemake.output.json,
    )
