from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.validate import permute

with told(snakemake.log[0]):
    permute(
        snakemake.input.matrix,
        int(snakemake.wildcards.rank),
        snakemake.params.settings,
        snakemake.output.json,
    )
