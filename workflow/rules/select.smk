"""The recommendation from the summaries of all ranks."""


rule select:
    input:
        summaries=lambda wildcards: of_ranks(
            f"{RESULTS}/ranks/rank-{{rank}}/summary.json"
        ),
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
