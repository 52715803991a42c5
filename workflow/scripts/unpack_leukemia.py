from nmfcore.adapters.examples import unpack_leukemia
from nmfcore.adapters.stages import told

with told(snakemake.log[0]):
    unpack_leukemia(snakemake.output.matrix, snakemake.output.samples)
