"""Ranks done, fits done and time left, beside what Snakemake says of its jobs."""

from snakemake.logging import logger

from nmfcore.adapters.progress import ProgressHandler

logger.addHandler(
    ProgressHandler(
        n_ranks=len(RANK_RULE.ranks),
        n_fits=len(RANK_RULE.ranks) * STAGES[-1],
        n_batches=sum(len(planned[STAGES[-1]]) for planned in BATCHES.values()),
        n_present=sum(
            last - first + 1
            for rank, planned in BATCHES.items()
            for first, last in planned[STAGES[-1]]
            if Path(f"{RESULTS}/runs/rank-{rank}/seeds-{first}-{last}.npz").exists()
        ),
    )
)
