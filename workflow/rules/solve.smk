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
    resources:
        mem_mb=asked("solve_rank", "mem_mb"),
        runtime=asked("solve_rank", "runtime"),
    params:
        n_seeds=lambda wildcards: seeds_of(wildcards.rank),
        seeds=config["seeds"],
        code=CODE["solve_rank"],
    script:
        "../scripts/solve_rank.py"


rule solve:
    input:
        matrix=MATRIX,
        recommendation=RECOMMENDATION,
        solutions=all_solution_files,
    output:
        W=f"{RESULTS}/solution/W.tsv",
        H=f"{RESULTS}/solution/H.tsv",
        npz=f"{RESULTS}/solution/solution.npz",
        json=f"{RESULTS}/solution/solution.json",
    log:
        f"{RESULTS}/logs/solve.log",
    # One core is left to what publishes the fits meanwhile.
    threads: max(min(OWN_CORES - 1, HELD_OUT_FOLDS), 1)
    resources:
        mem_mb=asked("solve", "mem_mb"),
        runtime=asked("solve", "runtime"),
    params:
        solutions=lambda wildcards, input: dict(
            zip(
                ranks_tried(),
                input.solutions[SOLUTION.index("solution.npz") :: len(SOLUTION)],
            )
        ),
        validation=(
            settings.validation_settings(config)
            if config["validate"]["cross_validation"]
            else None
        ),
        code=CODE["solve"],
    script:
        "../scripts/solve.py"
