from nmfcore.adapters.stages import told
from nmfcore.adapters.tracking import initialise_tracking

with told(snakemake.log[0]):
    initialise_tracking(**snakemake.params.tracking, marker=snakemake.output.marker)
