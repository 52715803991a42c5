"""The recommendation from the summaries of all ranks."""


rule select:
    input:
        summaries=lambda wildcards: summary_files(),
    output:
        tsv=f"{RESULTS}/selection/criteria.tsv",
        json=RECOMMENDATION,
    log:
        f"{RESULTS}/logs/select.log",
    params:
        settings=settings.sweep_settings(config),
        code=CODE["select"],
    script:
        "../scripts/select.py"
