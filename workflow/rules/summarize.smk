"""Every criterion of a rank from its runs and its cross-validation."""


rule summarize:
    input:
        matrix=MATRIX,
        runs=lambda wildcards: run_files(wildcards.rank),
        cross_validation=(
            f"{RESULTS}/ranks/rank-{{rank}}/cross_validation.json"
            if config["validate"]["cross_validation"]
            else []
        ),
        permutation=(
            f"{RESULTS}/ranks/rank-{{rank}}/permutation.json"
            if config["validate"]["permutation"]
            else []
        ),
        blocks=(
            f"{RESULTS}/ranks/rank-{{rank}}/bi_cross_validation.json"
            if config["validate"]["bi_cross_validation"]
            else []
        ),
    output:
        npz=f"{RESULTS}/ranks/rank-{{rank}}/consensus.npz",
        json=f"{RESULTS}/ranks/rank-{{rank}}/summary.json",
    log:
        f"{RESULTS}/logs/summarize/rank-{{rank}}.log",
    resources:
        mem_mb=asked("summarize", "mem_mb"),
        runtime=asked("summarize", "runtime"),
    params:
        n_seeds=lambda wildcards: seeds_of(wildcards.rank),
        seeds=config["seeds"],
        code=CODE["summarize"],
    script:
        "../scripts/summarize.py"
