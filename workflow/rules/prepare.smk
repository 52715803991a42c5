"""The input, read and checked in one job before anything fans out.

Needs the files that `input` of the configuration names; makes prepared/matrix.npz and .json.
"""


rule prepare:
    input:
        matrix=local(config["input"]["path"]),
        ids=[
            local(path)
            for path in (config["input"]["feature_ids"], config["input"]["sample_ids"])
            if path
        ],
        annotations=[local(path) for path in [config["input"]["annotations"]] if path],
    output:
        npz=MATRIX,
        json=f"{RESULTS}/prepared/matrix.json",
    log:
        f"{RESULTS}/logs/prepare.log",
    params:
        source=config["input"],
        code=stages.CODE["prepare"],
    script:
        "../scripts/prepare.py"
