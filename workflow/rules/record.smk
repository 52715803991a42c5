"""The record of what made each result file; `python -m nmfcore.adapters.verify` compares files with it."""


rule record:
    input:
        result_files,
    output:
        json=PROVENANCE,
    log:
        f"{RESULTS}/logs/record.log",
    params:
        folder=lambda wildcards, output: str(Path(output.json).parent),
        code=CODE["record"],
    script:
        "../scripts/record.py"
