"""Masked cross-validation of each rank."""

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
        params:
            settings=stages.validation_settings(config),
            code=stages.CODE["validate"],
        script:
            "../scripts/validate.py"
