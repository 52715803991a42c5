"""Example data: read out of installed packages that carry them."""


rule unpack_leukemia:
    output:
        matrix="resources/leukemia/matrix.tsv",
        samples="resources/leukemia/samples.tsv",
    log:
        "resources/leukemia/unpack.log",
    script:
        "../scripts/unpack_leukemia.py"
