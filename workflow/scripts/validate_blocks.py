from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.validate import validate_blocks

with told(snakemake.log[0]):
    validate_blocks(
        snakemake.input.matrix,
        int(snakemake.wildcards.rank),
        snakemake.params.settings,
        snakemake.output.json,
    )
