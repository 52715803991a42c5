from nmfcore.adapters.captions import write_captions
from nmfcore.adapters.job_log import told
from nmfcore.adapters.store import SweepFolder

with told(snakemake.log[0]):
    write_captions(SweepFolder(snakemake.params.folder), list(snakemake.output.captions))
