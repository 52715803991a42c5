"""One stable solution at the recommended rank."""


rule solve:
    input:
        matrix=MATRIX,
        matrix_json=f"{RESULTS}/prepared/matrix.json",
        recommendation=RECOMMENDATION,
        runs=[path for rank in RANKS for path in run_files(rank)],
    output:
        W=f"{RESULTS}/solution/W.tsv",
        H=f"{RESULTS}/solution/H.tsv",
        json=f"{RESULTS}/solution/solution.json",
    log:
        f"{RESULTS}/logs/solve.log",
    params:
        runs={rank: run_files(rank) for rank in RANKS},
        n_seeds=config["seeds"],
        code=stages.CODE["solve"],
    script:
        "../scripts/solve.py"
