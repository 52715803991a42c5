from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.validate import validate_rank

with told(snakemake.log[0]):
    validate_rank(
        snakemake.input.matrix,
        int(snakemake.wildcards.rank),
        snakemake.params.settings,
        snakemake.output.json,
        snakemake.threads,
    )
