"""The input, read and checked before anything fans out.

Needs the files that `input` of the configuration names; makes prepared/matrix.npz, matrix.json and annotations.json.
"""

refuse_missing_inputs()


rule prepare:
    input:
        matrix=[placed(path) for path in matrix_files()],
        ids=[
            placed(path)
            for path in (config["input"]["feature_ids"], config["input"]["sample_ids"])
            if path
        ],
        lengths=[
            local(step["lengths"]) for step in config["prepare"] if "lengths" in step
        ],
    output:
        npz=MATRIX,
        json=f"{RESULTS}/prepared/matrix.json",
    log:
        f"{RESULTS}/logs/prepare.log",
    resources:
        mem_mb=asked("prepare", "mem_mb"),
        runtime=asked("prepare", "runtime"),
    params:
        source=settings.matrix_settings(config),
        copies=lambda wildcards, input: copies_of_inputs(input),
        # Checked here too, before anything fans out. As they depend on `input`, they are no reason to run again.
        annotations=lambda wildcards, input: config["input"]["annotations"],
        loss=lambda wildcards, input: config["factorize"]["loss"],
        code=CODE["prepare"],
    script:
        "../scripts/prepare.py"


# Apart from the matrix, so that other annotations repeat no fit.
rule annotate:
    input:
        matrix=MATRIX,
        matrix_json=f"{RESULTS}/prepared/matrix.json",
        annotations=(
            placed(config["input"]["annotations"])
            if config["input"]["annotations"]
            else []
        ),
    output:
        json=ANNOTATIONS,
    log:
        f"{RESULTS}/logs/annotate.log",
    priority: 1
    params:
        code=CODE["annotate"],
    script:
        "../scripts/annotate.py"
