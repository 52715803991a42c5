"""Ranks done, fits done and time left, beside what Snakemake says of its jobs."""

from snakemake.logging import logger

from nmfcore.adapters.progress import ProgressHandler

logger.addHandler(
    ProgressHandler(
        n_ranks=len(RANKS),
        n_fits=len(RANKS) * config["seeds"],
        n_batches=sum(map(len, BATCHES.values())),
        n_present=sum(
            last - first + 1
            for rank, batches in BATCHES.items()
            for first, last in batches
            if Path(f"{RESULTS}/runs/rank-{rank}/seeds-{first}-{last}.npz").exists()
        ),
    )
)
