from nmfcore.adapters.figures import draw_all
from nmfcore.adapters.job_log import told
from nmfcore.adapters.store import CONSENSUS_FIGURE, SweepFolder

with told(snakemake.log[0]):
    folder = SweepFolder(snakemake.params.folder)
    draw_all(folder, [f"{CONSENSUS_FIGURE}{snakemake.wildcards.rank}"])
