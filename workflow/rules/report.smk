"""Figures and the self-contained report."""


rule report:
    input:
        recommendation=RECOMMENDATION,
        criteria=f"{RESULTS}/selection/criteria.tsv",
        solution=f"{RESULTS}/solution/solution.json",
        matrix_json=f"{RESULTS}/prepared/matrix.json",
        consensus=expand(f"{RESULTS}/ranks/rank-{{rank}}/consensus.npz", rank=RANKS),
    output:
        html=report(
            f"{RESULTS}/report.html",
            caption=f"{Path.cwd()}/{RESULTS}/figures/captions/report.rst",
            category="Answer",
        ),
        figures=[
            report(
                f"{RESULTS}/figures/{figure}.svg",
                caption=f"{Path.cwd()}/{RESULTS}/figures/captions/{figure}.rst",
                category="Evidence",
                labels={"figure": figure.replace("_", " ")},
            )
            for figure in figure_names(RANKS)
        ],
        png=[f"{RESULTS}/figures/{figure}.png" for figure in figure_names(RANKS)],
    log:
        f"{RESULTS}/logs/report.log",
    params:
        folder=RESULTS,
        code=stages.CODE["report"],
    script:
        "../scripts/report.py"
