"""Figures, the self-contained report, and the captions that `snakemake --report` shows beside them."""

from nmfcore.adapters.captions import EVERY_CONSENSUS
from nmfcore.adapters.store import CONSENSUS_FIGURE

# One job draws the figures whose ranks are known beforehand.
DRAWN = figure_names(RANK_RULE.ranks if RANK_RULE.coarse == 1 else ())
CAPTIONS = ["report", *DRAWN, *([EVERY_CONSENSUS] if RANK_RULE.coarse > 1 else [])]


# Apart from the figures: Snakemake sums up every input of a job again for every output.
rule caption:
    input:
        json=RECOMMENDATION,
    output:
        captions=[caption_file(name) for name in CAPTIONS],
    log:
        f"{RESULTS}/logs/caption.log",
    params:
        folder=lambda wildcards, input: str(Path(input.json).parents[1]),
        code=CODE["caption"],
    script:
        "../scripts/caption.py"


rule report:
    input:
        recommendation=RECOMMENDATION,
        criteria=f"{RESULTS}/selection/criteria.tsv",
        solution=f"{RESULTS}/solution/solution.json",
        matrix_json=f"{RESULTS}/prepared/matrix.json",
        annotations=ANNOTATIONS,
        consensus=lambda wildcards: of_ranks(
            f"{RESULTS}/ranks/rank-{{rank}}/consensus.npz"
        ),
        summaries=lambda wildcards: summary_files(),
        solutions=all_solution_files,
        tables=all_run_tables,
        drawn=lambda wildcards: [
            f"{RESULTS}/figures/{figure}.{kind}"
            for figure in figure_names(ranks_tried())
            if figure not in DRAWN
            for kind in ("svg", "png")
        ],
    output:
        html=report(
            f"{RESULTS}/report.html",
            caption=f"{Path.cwd()}/{caption_file('report')}",
            category="Answer",
            labels={"page": "report"},
        ),
        figures=[shown(figure, caption=figure) for figure in DRAWN],
        png=[f"{RESULTS}/figures/{figure}.png" for figure in DRAWN],
    log:
        f"{RESULTS}/logs/report.log",
    threads: min(OWN_CORES, DRAWN_AT_ONCE)
    resources:
        mem_mb=asked("report", "mem_mb"),
        runtime=asked("report", "runtime"),
    params:
        folder=lambda wildcards, output: str(Path(output.html).parent),
        figures=DRAWN,
        code=CODE["report"],
    script:
        "../scripts/report.py"


if RANK_RULE.coarse > 1:

    rule draw_consensus:
        input:
            recommendation=RECOMMENDATION,
            criteria=f"{RESULTS}/selection/criteria.tsv",
            annotations=ANNOTATIONS,
            matrix=MATRIX,
            consensus=f"{RESULTS}/ranks/rank-{{rank}}/consensus.npz",
        output:
            figure=shown(f"{CONSENSUS_FIGURE}{{rank}}", caption=EVERY_CONSENSUS),
            png=f"{RESULTS}/figures/{CONSENSUS_FIGURE}{{rank}}.png",
        log:
            f"{RESULTS}/logs/draw_consensus/rank-{{rank}}.log",
        resources:
            mem_mb=asked("report", "mem_mb"),
            runtime=asked("report", "runtime"),
        params:
            folder=RESULTS,
            code=CODE["report"],
        script:
            "../scripts/draw_consensus.py"
