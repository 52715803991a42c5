"""The runs: one job a batch of seeds of one rank, which are solved together."""


rule factorize:
    input:
        matrix=MATRIX,
    output:
        npz=f"{RESULTS}/runs/rank-{{rank}}/seeds-{{first}}-{{last}}.npz",
        tsv=f"{RESULTS}/runs/rank-{{rank}}/seeds-{{first}}-{{last}}.tsv",
    log:
        f"{RESULTS}/logs/factorize/rank-{{rank}}-seeds-{{first}}-{{last}}.log",
    benchmark:
        f"{RESULTS}/logs/factorize/rank-{{rank}}-seeds-{{first}}-{{last}}.time.tsv"
    threads: FIT_THREADS
    resources:
        mem_mb=asked("factorize", "mem_mb"),
        runtime=asked("factorize", "runtime"),
    params:
        settings=settings.fit_settings(config),
        code=CODE["factorize"],
    script:
        "../scripts/factorize.py"
