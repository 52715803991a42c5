from nmfcore.adapters.figures import draw_all
from nmfcore.adapters.job_log import told
from nmfcore.adapters.report import write_report
from nmfcore.adapters.store import SweepFolder

with told(snakemake.log[0]):
    folder = SweepFolder(snakemake.params.folder)
    draw_all(folder, snakemake.params.figures, snakemake.threads)
    write_report(folder)
