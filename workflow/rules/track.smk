"""Publishing to MLflow: a projection of finished result files that no number depends on.

Two jobs, however long the sweep: an import of MLflow costs as much as a small batch of runs. That the fits of a long
sweep are seen while it runs is the affair of a process beside Snakemake (`start_following`, `onstart` of the
Snakefile); what it has published, these jobs find published.
"""

if config["tracking"]["enabled"]:
    TRACKING = {
        "uri": config["tracking"]["uri"],
        "experiment": config["tracking"]["experiment"],
        "results_root": RESULTS_ROOT,
    }

    rule track_fits:
        input:
            runs=all_run_files,
            tables=all_run_tables,
            # Beside the solution and the report, which leave cores idle, rather than beside the runs.
            decision=RECOMMENDATION,
        output:
            marker=f"{RESULTS}/tracking/fits.json",
        log:
            f"{RESULTS}/logs/track/fits.log",
        params:
            tracking=TRACKING,
            sweep=config["name"],
        script:
            "../scripts/track_fits.py"

    rule track_sweep:
        input:
            fits=f"{RESULTS}/tracking/fits.json",
            report=f"{RESULTS}/report.html",
            results=result_files,
        output:
            marker=f"{RESULTS}/tracking/sweep.json",
        log:
            f"{RESULTS}/logs/track/sweep.log",
        params:
            tracking=TRACKING,
            folder=lambda wildcards, input: str(Path(input.report).parent),
        script:
            "../scripts/track_sweep.py"
