"""A stable solution for every rank, and the one that is chosen."""


rule solve_rank:
    input:
        matrix=MATRIX,
        matrix_json=f"{RESULTS}/prepared/matrix.json",
        runs=lambda wildcards: run_files(wildcards.rank),
    output:
        W=f"{RESULTS}/ranks/rank-{{rank}}/solution/W.tsv",
        H=f"{RESULTS}/ranks/rank-{{rank}}/solution/H.tsv",
        npz=f"{RESULTS}/ranks/rank-{{rank}}/solution/solution.npz",
        json=f"{RESULTS}/ranks/rank-{{rank}}/solution/solution.json",
    log:
        f"{RESULTS}/logs/solve/rank-{{rank}}.log",
    params:
        n_seeds=config["seeds"],
        code=stages.CODE["solve_rank"],
    script:
        "../scripts/solve_rank.py"


rule solve:
    input:
        matrix=MATRIX,
        recommendation=RECOMMENDATION,
        solutions=[path for rank in RANKS for path in solution_files(rank)],
    output:
        W=f"{RESULTS}/solution/W.tsv",
        H=f"{RESULTS}/solution/H.tsv",
        npz=f"{RESULTS}/solution/solution.npz",
        json=f"{RESULTS}/solution/solution.json",
    log:
        f"{RESULTS}/logs/solve.log",
    params:
        solutions={
            rank: f"{RESULTS}/ranks/rank-{rank}/solution/solution.npz"
            for rank in RANKS
        },
        validation=(
            stages.validation_settings(config)
            if config["validate"]["cross_validation"]
            else None
        ),
        code=stages.CODE["solve"],
    script:
        "../scripts/solve.py"
