"""Where `seeds` gives a range: whether a rank has seeds enough, after each number of them that it may end with."""

if len(STAGES) > 1:

    checkpoint decide_seeds:
        input:
            runs=lambda wildcards: run_files(wildcards.rank, int(wildcards.n_seeds)),
        output:
            json=f"{RESULTS}/ranks/rank-{{rank}}/seeds-{{n_seeds}}.json",
        log:
            f"{RESULTS}/logs/decide_seeds/rank-{{rank}}-{{n_seeds}}.log",
        params:
            seeds=config["seeds"],
            code=CODE["decide_seeds"],
        script:
            "../scripts/decide_seeds.py"
