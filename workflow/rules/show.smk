"""What the chosen solution means in its field, where the configuration asks for it."""

if config["show"]:
    REFERENCE = config["show"]["reference"]

    rule show:
        input:
            solution=[f"{RESULTS}/solution/{name}" for name in SOLUTION],
            solutions=all_solution_files,
            recommendation=RECOMMENDATION,
            matrix=MATRIX,
            annotations=ANNOTATIONS,
            reference=reference_files(),
        output:
            folder=directory(SHOWN),
        log:
            f"{RESULTS}/logs/show.log",
        params:
            show=config["show"],
            folder=lambda wildcards, output: str(Path(output.folder).parent),
            code=CODE["show"],
        script:
            "../scripts/show.py"
