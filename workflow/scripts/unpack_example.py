from pathlib import Path

from nmfcore.adapters.examples import EXAMPLES
from nmfcore.adapters.job_log import told

with told(snakemake.log[0]):
    EXAMPLES[snakemake.params.example].make(Path(snakemake.output[0]).parent)
