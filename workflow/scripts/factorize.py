from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.factorize import factorize_batch

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
