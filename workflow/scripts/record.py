from nmfcore.adapters.job_log import told
from nmfcore.adapters.provenance import record_provenance
from nmfcore.adapters.store import SweepFolder

with told(snakemake.log[0]):
    record_provenance(
        SweepFolder(snakemake.params.folder), list(snakemake.input), snakemake.output.json
    )
