"""Evidence beside the runs, of each rank: masked cross-validation, permuted copies, held-out blocks."""

if config["validate"]["cross_validation"]:

    rule validate:
        input:
            matrix=MATRIX,
        output:
            json=f"{RESULTS}/ranks/rank-{{rank}}/cross_validation.json",
        log:
            f"{RESULTS}/logs/validate/rank-{{rank}}.log",
        benchmark:
            f"{RESULTS}/logs/validate/rank-{{rank}}.time.tsv"
        resources:
            mem_mb=asked("validate", "mem_mb"),
            runtime=asked("validate", "runtime"),
        params:
            settings=settings.validation_settings(config),
            code=CODE["validate"],
        script:
            "../scripts/validate.py"


if config["validate"]["permutation"]:

    rule permute:
        input:
            matrix=MATRIX,
        output:
            json=f"{RESULTS}/ranks/rank-{{rank}}/permutation.json",
        log:
            f"{RESULTS}/logs/permute/rank-{{rank}}.log",
        resources:
            mem_mb=asked("permute", "mem_mb"),
            runtime=asked("permute", "runtime"),
        params:
            settings=settings.permutation_settings(config),
            code=CODE["permute"],
        script:
            "../scripts/permute.py"


if config["validate"]["bi_cross_validation"]:

    rule validate_blocks:
        input:
            matrix=MATRIX,
        output:
            json=f"{RESULTS}/ranks/rank-{{rank}}/bi_cross_validation.json",
        log:
            f"{RESULTS}/logs/validate_blocks/rank-{{rank}}.log",
        resources:
            mem_mb=asked("validate_blocks", "mem_mb"),
            runtime=asked("validate_blocks", "runtime"),
        params:
            settings=settings.validation_settings(config, "bi_cross_validation"),
            code=CODE["validate_blocks"],
        script:
            "../scripts/validate_blocks.py"
