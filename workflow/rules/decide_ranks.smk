"""Where `ranks` is coarse: which ranks are tried next, until those that the evidence speaks for have their neighbours."""

if RANK_RULE.coarse > 1:

    checkpoint decide_ranks:
        input:
            summaries=lambda wildcards: summary_files(int(wildcards.stage)),
        output:
            json=f"{RESULTS}/selection/ranks-{{stage}}.json",
        log:
            f"{RESULTS}/logs/decide_ranks/{{stage}}.log",
        params:
            settings=settings.sweep_settings(config),
            code=CODE["decide_ranks"],
        script:
            "../scripts/decide_ranks.py"
