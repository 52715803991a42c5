"""Publishing to MLflow: a projection of finished result files that no number depends on."""

if config["tracking"]["enabled"]:
    TRACKING = {
        "uri": config["tracking"]["uri"],
        "experiment": config["tracking"]["experiment"],
        "results_root": RESULTS_ROOT,
    }

    rule track_store:
        input:
            matrix=MATRIX,  # nothing is created for a matrix that cannot be used
        output:
            marker=f"{RESULTS}/tracking/store.json",
        log:
            f"{RESULTS}/logs/track/store.log",
        params:
            tracking=TRACKING,
        script:
            "../scripts/track_store.py"

    rule track_runs:
        input:
            npz=f"{RESULTS}/runs/rank-{{rank}}/seeds-{{first}}-{{last}}.npz",
            store=f"{RESULTS}/tracking/store.json",
        output:
            marker=f"{RESULTS}/tracking/rank-{{rank}}-seeds-{{first}}-{{last}}.json",
        log:
            f"{RESULTS}/logs/track/rank-{{rank}}-seeds-{{first}}-{{last}}.log",
        params:
            tracking=TRACKING,
            sweep=config["name"],
        script:
            "../scripts/track_runs.py"

    rule track_sweep:
        input:
            store=f"{RESULTS}/tracking/store.json",
            runs=track_markers(),
            report=f"{RESULTS}/report.html",
        output:
            marker=f"{RESULTS}/tracking/sweep.json",
        log:
            f"{RESULTS}/logs/track/sweep.log",
        params:
            tracking=TRACKING,
            folder=lambda wildcards, input: str(Path(input.report).parent),
        script:
            "../scripts/track_sweep.py"
