"""The validated configuration and the few helpers that the rules share."""

import itertools
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The folder above the workflow holds the library where it is not installed; jobs search where this process does.
LIBRARY = Path(str(workflow.current_basedir)).parents[1]
if (LIBRARY / "nmfcore").is_dir() and str(LIBRARY) not in sys.path:
    sys.path.insert(0, str(LIBRARY))

from nmfcore.adapters import captions, settings, store
from nmfcore.adapters.code_digests import CODE
from nmfcore.adapters.config import load_config
from nmfcore.adapters.examples import EXAMPLES
from nmfcore.adapters.readers.files import files_of, is_remote
from nmfcore.adapters.resources import MatrixSize, request
from nmfcore.adapters.store import figure_names
from nmfcore.batches import batch_size, job_threads, plan_stages
from nmfcore.errors import ConfigError, InputError, ResultError
from nmfcore.limits import DRAWN_AT_ONCE, HELD_OUT_FOLDS

try:
    config.update(
        load_config(dict(config), workflow.source_path("../schemas/config.schema.yaml"))
    )
except ConfigError as error:
    raise WorkflowError(str(error))

if config["tracking"]["uri"]:
    from nmfcore.adapters.tracking import hide

    # What Snakemake keeps of jobs in .snakemake, and what it says of them, comes from here.
    config["tracking"]["uri"] = hide(config["tracking"]["uri"])

RESULTS_ROOT = "results"
EXAMPLE_FILES = {
    f"resources/{example}/{file}"
    for example, made in EXAMPLES.items()
    for file in made.files
}
RESULTS = f"{RESULTS_ROOT}/{config['name']}"
MATRIX = f"{RESULTS}/prepared/matrix.npz"
ANNOTATIONS = f"{RESULTS}/prepared/annotations.json"
RECOMMENDATION = f"{RESULTS}/selection/recommendation.json"
PROVENANCE = f"{RESULTS}/provenance.json"
SHOWN = f"{RESULTS}/show"
SOLUTION = ("W.tsv", "H.tsv", "solution.npz", "solution.json")


wildcard_constraints:
    rank=r"\d+",
    first=r"\d+",
    last=r"\d+",
    n_seeds=r"\d+",
    stage=r"\d+",


def refuse_missing_inputs():
    """Say in words which input file is missing, before Snakemake does in its own.

    Who imports this workflow may make the input by a rule that is not known here.
    """
    if Path(workflow.main_snakefile).resolve().parent not in (
        LIBRARY,
        LIBRARY / "workflow",
    ):
        return
    paths = (
        config["input"][key]
        for key in ("path", "feature_ids", "sample_ids", "annotations")
    )
    shown = config["show"] or {"kind": "groups"}
    reference = None if shown["kind"] == "groups" else shown["reference"]
    for path in filter(None, (*paths, reference)):
        if is_remote(path) or any(
            file.startswith(f"{path}/") for file in EXAMPLE_FILES
        ):
            continue
        if not Path(path).exists() and not any(
            made.is_producer(path) for made in workflow.rules
        ):
            from nmfcore.adapters.readers.files import find

            try:
                find(path)
            except InputError as error:
                raise WorkflowError(f"input: {error}")


def matrix_files():
    """The file of the matrix; of a folder that no rule makes, its files, so that a change of one is seen."""
    path = config["input"]["path"]
    if is_remote(path) or any(made.is_producer(path) for made in workflow.rules):
        return [path]
    return [str(file) for file in files_of(path)] or [path]


def placed(path):
    """An input file where it is: on object storage, where a rule makes it, or here, wherever results go."""
    if is_remote(path):
        return storage(path)
    return path if path in EXAMPLE_FILES else local(path)


def copies_of_inputs(input):
    """Where a job has a file that the configuration names: elsewhere, if it is on object storage."""
    ids = filter(None, (config["input"]["feature_ids"], config["input"]["sample_ids"]))
    return dict(zip([*matrix_files(), *ids], [*input.matrix, *input.ids]))


def reference_files():
    """The files that `show.reference` names, where it is a path: those of a folder, or what a rule makes in it."""
    path = config["show"]["reference"]
    if path is None or config["show"]["kind"] == "groups":
        return []
    made = [file for file in EXAMPLE_FILES if file.startswith(f"{path}/")]
    return sorted(made) or [str(file) for file in files_of(path)]


def planned_batches(rank):
    """Batches of a rank by its seeds: what is on disk is kept, whatever batch size it was made with."""
    existing = [
        (f.first, f.last) for f in store.find_run_files(RESULTS) if f.rank == int(rank)
    ]
    return plan_stages(STAGES, SEEDS_PER_JOB, existing)


def solution_files(rank):
    """Files of the solution of a rank."""
    return [f"{RESULTS}/ranks/rank-{rank}/solution/{name}" for name in SOLUTION]


def run_files(rank, n_seeds=None):
    """npz files of the runs of a rank, or of its first seeds."""
    return [
        f"{RESULTS}/runs/rank-{rank}/seeds-{first}-{last}.npz"
        for first, last in BATCHES[int(rank)][n_seeds or seeds_of(rank)]
    ]


def decided_seeds(rank):
    """Files of the decisions on the number of seeds of a rank; none where it is given."""
    decisions = []
    for stage in STAGES[:-1]:
        decisions.append(
            checkpoints.decide_seeds.get(rank=rank, n_seeds=stage).output.json
        )
        if store.read_json(decisions[-1])["wanted"] == stage:
            break
    return decisions


def seeds_of(rank):
    """Seeds of a rank, once it is decided how many it needs."""
    decisions = decided_seeds(rank)
    return store.read_json(decisions[-1])["wanted"] if decisions else STAGES[-1]


def rank_decisions(stage=None):
    """Files of the decisions on the ranks, and what they say, up to a stage; none where the ranks are given."""
    if RANK_RULE.coarse == 1:
        return
    for earlier in itertools.count(1):
        if earlier == stage:
            return
        path = checkpoints.decide_ranks.get(stage=earlier).output.json
        decision = store.read_json(path)
        yield path, decision
        if not decision["added"]:
            return


def ranks_tried(stage=None):
    """Ranks of the sweep, once they are decided; or those that a decision rests on."""
    ranks = RANK_RULE.first
    for _, decision in rank_decisions(stage):
        ranks = decision["wanted"]
    return ranks


def of_ranks(pattern, stage=None):
    """A file of every rank."""
    return [pattern.format(rank=rank) for rank in ranks_tried(stage)]


def summary_files(stage=None):
    """Summaries of the ranks that were tried, or those that a decision rests on."""
    return of_ranks(f"{RESULTS}/ranks/rank-{{rank}}/summary.json", stage)


# Jobs of a cluster or, without one, cores of this machine.
AT_ONCE = workflow.resource_settings.nodes or workflow.resource_settings.cores or 1
# Numbers of seeds that a rank may end with, and the ranks that may be tried.
STAGES = settings.seed_rule(config["seeds"]).stages()
RANK_RULE = settings.rank_rule(config["ranks"], config["select"]["rank"])
for key, decided, remedy in (
    ("seeds", len(STAGES) > 1, "name a number, such as 50"),
    ("ranks", RANK_RULE.coarse > 1, "leave out coarse"),
):
    if decided and workflow.storage_settings.default_storage_provider:
        # What a decision says must be known here, before its file is fetched.
        raise WorkflowError(f"{key}: with results on object storage, {remedy}.")
SEEDS_PER_JOB = batch_size(
    config["factorize"]["seeds_per_job"], len(RANK_RULE.first), STAGES[-1], AT_ONCE
)
if (
    config["factorize"]["seeds_per_job"] == "auto"
    and workflow.resource_settings.nodes
    and workflow.storage_settings.default_storage_provider
):
    # A job elsewhere would weigh up its own cores, and sees no batches to go by.
    raise WorkflowError(
        "factorize.seeds_per_job: with results on object storage and jobs on other machines, name a number, such as 50."
    )
# Planned once: files that appear while the sweep runs must not change the plan.
BATCHES = {rank: planned_batches(rank) for rank in RANK_RULE.ranks}
# Cores that jobs may share out among threads. A job on a cluster has those that it was given, not those of its node.
OWN_CORES = (
    AT_ONCE if workflow.is_main_process and not workflow.resource_settings.nodes else 1
)
FIT_THREADS = job_threads(
    sum(len(BATCHES[rank][STAGES[0]]) for rank in RANK_RULE.first),
    SEEDS_PER_JOB,
    OWN_CORES,
)


def asked(rule, resource):
    """What a job asks a scheduler for, `mem_mb` or `runtime`; unknown until its input files exist."""

    def amount(wildcards, input, attempt, threads):
        n_bytes = 1e6 * input.size_mb
        try:
            size = MatrixSize.of(f"{RESULTS}/prepared/matrix.json")
        except ResultError:
            # Results are on object storage; or it is damaged, which the jobs that need it say.
            size = MatrixSize.of_file(n_bytes)
        named = dict(wildcards.items())
        job = request(rule, size, config, named, n_bytes, attempt, threads)
        return getattr(job, resource)

    return amount


def all_run_files(wildcards):
    """npz files of the runs of all ranks."""
    return [path for rank in ranks_tried() for path in run_files(rank)]


def all_run_tables(wildcards):
    """Tables of the runs of all ranks."""
    return [path.removesuffix("npz") + "tsv" for path in all_run_files(wildcards)]


def all_solution_files(wildcards):
    """Files of the solutions of all ranks."""
    return [path for rank in ranks_tried() for path in solution_files(rank)]


def caption_file(name):
    """File for the caption of a figure, or of the report: its words depend on the decision."""
    return f"{RESULTS}/figures/captions/{name}.rst"


def shown(figure, caption):
    """The SVG of a figure, marked for `snakemake --report`."""
    return report(
        f"{RESULTS}/figures/{figure}.svg",
        caption=f"{Path.cwd()}/{caption_file(caption)}",
        category=captions.category(figure),
        labels=captions.labels(figure),
    )


def result_files(wildcards):
    """Every result file of a finished sweep."""
    ranks = ranks_tried()
    files = [
        MATRIX,
        f"{RESULTS}/prepared/matrix.json",
        ANNOTATIONS,
        f"{RESULTS}/selection/criteria.tsv",
        RECOMMENDATION,
        *(f"{RESULTS}/solution/{name}" for name in SOLUTION),
        *(
            f"{RESULTS}/figures/{name}.{kind}"
            for name in figure_names(ranks)
            for kind in ("svg", "png")
        ),
        *(caption_file(name) for name in CAPTIONS),
        *(path for path, _ in rank_decisions()),
        f"{RESULTS}/report.html",
    ]
    parts = ["consensus.npz", "summary.json"]
    if config["validate"]["cross_validation"]:
        parts.append("cross_validation.json")
    if config["validate"]["permutation"]:
        parts.append("permutation.json")
    if config["validate"]["bi_cross_validation"]:
        parts.append("bi_cross_validation.json")
    for rank in ranks:
        for npz in run_files(rank):
            files += [npz, npz.removesuffix("npz") + "tsv"]
        files += decided_seeds(rank)
        files += [f"{RESULTS}/ranks/rank-{rank}/{part}" for part in parts]
        files += solution_files(rank)
    return files


def all_targets(wildcards):
    """What a finished sweep consists of, file by file, so that a lost one is made anew."""
    targets = [*result_files(wildcards), PROVENANCE]
    if config["show"]:
        targets.append(SHOWN)
    if config["tracking"]["enabled"]:
        targets += [f"{RESULTS}/tracking/{part}.json" for part in ("fits", "sweep")]
    return targets
