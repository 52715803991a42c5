"""Ranks done, fits done and time left, beside what Snakemake says of its jobs."""

from snakemake.logging import logger

from nmfcore.adapters.progress import ProgressHandler

logger.addHandler(
    ProgressHandler(
        RANK_RULE.first,
        n_seeds=STAGES[-1],
        n_batches=sum(len(BATCHES[rank][STAGES[-1]]) for rank in RANK_RULE.first),
        n_present=sum(
            last - first + 1
            for rank in RANK_RULE.first
            for first, last in BATCHES[rank][STAGES[-1]]
            if Path(f"{RESULTS}/runs/rank-{rank}/seeds-{first}-{last}.npz").exists()
        ),
    )
)
