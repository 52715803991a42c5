"""Figures, the self-contained report, and the captions that `snakemake --report` shows beside them."""

from nmfcore.adapters import captions


rule report:
    input:
        recommendation=RECOMMENDATION,
        criteria=f"{RESULTS}/selection/criteria.tsv",
        solution=f"{RESULTS}/solution/solution.json",
        matrix_json=f"{RESULTS}/prepared/matrix.json",
        annotations=ANNOTATIONS,
        consensus=expand(f"{RESULTS}/ranks/rank-{{rank}}/consensus.npz", rank=RANKS),
        summaries=expand(f"{RESULTS}/ranks/rank-{{rank}}/summary.json", rank=RANKS),
        solutions=[path for rank in RANKS for path in solution_files(rank)],
        runs=all_run_files,
    output:
        html=report(
            f"{RESULTS}/report.html",
            caption=f"{Path.cwd()}/{caption_file('report')}",
            category="Answer",
            labels={"page": "report"},
        ),
        figures=[
            report(
                f"{RESULTS}/figures/{figure}.svg",
                caption=f"{Path.cwd()}/{caption_file(figure)}",
                category=captions.category(figure),
                labels=captions.labels(figure),
            )
            for figure in figure_names(RANKS)
        ],
        png=[f"{RESULTS}/figures/{figure}.png" for figure in figure_names(RANKS)],
        captions=[caption_file(name) for name in ("report", *figure_names(RANKS))],
    log:
        f"{RESULTS}/logs/report.log",
    resources:
        mem_mb=asked("report", "mem_mb"),
        runtime=asked("report", "runtime"),
    params:
        folder=lambda wildcards, output: str(Path(output.html).parent),
        code=CODE["report"],
    script:
        "../scripts/report.py"
