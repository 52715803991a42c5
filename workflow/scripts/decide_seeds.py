from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.decide_seeds import decide_seeds_of_rank

with told(snakemake.log[0]):
    decide_seeds_of_rank(
        list(snakemake.input.runs),
        int(snakemake.wildcards.n_seeds),
        snakemake.params.seeds,
        snakemake.output.json,
    )
