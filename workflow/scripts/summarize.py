from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.summarize import summarize

with told(snakemake.log[0]):
    summarize(
        snakemake.input.matrix,
        list(snakemake.input.runs),
        snakemake.input.get("cross_validation") or None,
        int(snakemake.wildcards.rank),
        snakemake.params.n_seeds,
        snakemake.params.seeds,
        *snakemake.output,
        permutation=snakemake.input.get("permutation") or None,
        blocks=snakemake.input.get("blocks") or None,
    )
