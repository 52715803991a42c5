import json
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from nmfcore import Status, factorize
from nmfcore.bi_cross_validation import BiCrossValidation
from nmfcore.consensus import run_labels, summarize_consensus
from nmfcore.criteria import MAX_FEATURES, Criteria, of_consensus, summarize_rank
from nmfcore.cross_validation import CrossValidation
from nmfcore.intervals import consensus_intervals, fold_interval, run_interval, stability_intervals
from nmfcore.permutation import PermutationNull
from nmfcore.stability import amari_distances, cluster_components, component_stability

random = np.random.default_rng(0)
V = random.poisson(20 * random.gamma(0.5, size=(30, 3)) @ random.gamma(0.5, size=(3, 24)))
V = V.astype(float)
RUNS = factorize(V, 3, range(8), dtype="float64")
VALIDATION = CrossValidation(3, np.array([0.3, 0.5, 0.4]), np.ones((3, 2)))

OF_RUNS = ("reconstruction_error", "reconstruction_error_median", "loss", "rss")
OF_AGREEMENT = (
    "cophenetic_correlation",
    "dispersion",
    "pac",
    "consensus_silhouette",
    "component_stability",
    "component_stability_min",
)


def with_status(runs, status, *positions):
    changed = runs.status.copy()
    changed[list(positions)] = status
    return replace(runs, status=changed)


class TestSummary:
    @pytest.fixture(autouse=True)
    def _summarize(self):
        self.summary = summarize_rank(RUNS, VALIDATION, svd_error=0.25)
        self.criteria = self.summary.criteria

    def test_counts(self):
        assert RUNS.good.all()
        assert (self.criteria.rank, self.criteria.n_runs, self.criteria.n_good) == (3, 8, 8)
        assert self.summary.run_labels.shape == (8, 24)
        np.testing.assert_array_equal(self.summary.run_seeds, np.arange(8))
        assert self.summary.consensus is not None

    def test_errors_are_of_the_best_run(self):
        losses = [0.5 * np.square(V - W @ H).sum() for W, H in zip(RUNS.W, RUNS.H, strict=True)]
        total = np.square(V).sum()
        assert self.criteria.loss == pytest.approx(min(losses), rel=1e-9)
        assert self.criteria.rss == pytest.approx(2 * min(losses), rel=1e-9)
        assert self.criteria.explained_variance == pytest.approx(1 - 2 * min(losses) / total)
        relative = np.sqrt(2 * np.array(losses) / total)
        assert self.criteria.reconstruction_error == pytest.approx(relative.min())
        assert self.criteria.reconstruction_error_median == pytest.approx(np.median(relative))

    def test_the_median_error_is_a_median(self):
        spread = replace(RUNS, relative_error=np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 9.0]))
        assert summarize_rank(spread).criteria.reconstruction_error_median == pytest.approx(0.45)

    def test_held_out_errors_are_those_of_the_folds(self):
        assert self.criteria.held_out_error == pytest.approx(0.4)
        assert self.criteria.held_out_error_se == pytest.approx(0.1 / np.sqrt(3))
        assert self.criteria.fold_errors == (0.3, 0.5, 0.4)
        assert self.criteria.svd_error == 0.25
        unknown = summarize_rank(RUNS).criteria
        assert unknown.held_out_error is None
        assert unknown.fold_errors is None
        assert unknown.svd_error is None

    def test_dispersion_and_pac_by_their_definitions(self):
        labels = np.array(
            [
                (np.linalg.norm(W, axis=0)[:, None] * H).argmax(axis=0)
                for W, H in zip(RUNS.W, RUNS.H, strict=True)
            ]
        )
        consensus = (labels[:, :, None] == labels[:, None, :]).mean(axis=0)
        assert self.criteria.dispersion == pytest.approx(np.mean(4 * (consensus - 0.5) ** 2))
        pairs = consensus[np.triu_indices(24, 1)]
        assert self.criteria.pac == pytest.approx(np.mean((pairs > 0.1) & (pairs < 0.9)))

    def test_component_stability_is_the_silhouette_of_matched_components(self):
        # On a clean matrix all runs agree, so clusters are found without any matching.
        units = RUNS.W / np.linalg.norm(RUNS.W, axis=1, keepdims=True)
        flat = units.transpose(0, 2, 1).reshape(24, 30)
        labels = (flat @ units[0]).argmax(axis=1)
        distance = np.clip(1 - flat @ flat.T, 0, None)
        np.fill_diagonal(distance, 0)
        widths = silhouette_samples(distance, labels, metric="precomputed")
        means = [widths[labels == j].mean() for j in range(3)]
        assert self.criteria.component_stability == pytest.approx(np.mean(means))
        assert self.criteria.component_stability_min == pytest.approx(min(means))

    def test_amari_instability_is_the_mean_over_pairs_of_runs(self):
        distances = amari_distances(RUNS.W)
        pairs = [distances[a, b] for a, b in combinations(range(len(RUNS)), 2)]
        assert self.criteria.amari_instability == pytest.approx(np.mean(pairs), rel=1e-12)

    def test_intervals_of_agreement_are_over_the_runs_from_best_to_worst(self):
        runs = factorize(V, 5, range(12), dtype="float64")
        criteria = summarize_rank(runs).criteria
        good = runs.take(np.flatnonzero(runs.good))
        ordered = good.take(np.argsort(good.loss))
        clusters = cluster_components(ordered.W)
        found = component_stability(clusters)
        distances = amari_distances(ordered.W)

        def over_pairs(runs):
            return np.mean([distances[a, b] for a, b in permutations(runs, 2)])

        amari = over_pairs(range(len(ordered)))
        names = ("cophenetic_correlation", "dispersion", "pac", "consensus_silhouette")
        values = {name: getattr(criteria, name) for name in names}
        labels = run_labels(ordered.W, ordered.H)
        expected = dict(consensus_intervals(labels, 5, values))
        expected["component_stability"], expected["component_stability_min"] = stability_intervals(
            clusters, found.mean, found.minimum
        )
        expected["amari_instability"] = run_interval(over_pairs, len(ordered), amari, (0.0, 1.0))
        assert {*names, "amari_instability"} <= expected.keys()
        for name, interval in expected.items():
            bounds = [getattr(criteria, f"{name}_{end}") for end in ("low", "high")]
            np.testing.assert_allclose(
                np.array(bounds, float), np.array(interval, float), rtol=1e-9
            )
            assert bounds[0] < bounds[1]

    def test_a_consensus_of_drawn_samples_says_of_how_many(self):
        labels = run_labels(RUNS.W, RUNS.H)
        consensus = summarize_consensus(labels, 3)
        assert of_consensus(consensus, labels)["n_sampled"] is None
        drawn = replace(consensus, sampled=np.arange(7))
        assert of_consensus(drawn, labels)["n_sampled"] == 7

    def test_no_more_features_than_are_stated_are_looked_at_and_none_is_put_in_order(
        self, monkeypatch
    ):
        asked = []

        def watched(labels, rank, **options):
            asked.append((labels.shape[1], options))
            return summarize_consensus(labels, rank, **options)

        monkeypatch.setattr("nmfcore.criteria.summarize_consensus", watched)
        summarize_rank(RUNS)
        (_, of_features) = dict(asked)[24], dict(asked)[30]
        assert of_features == {"max_samples": MAX_FEATURES, "leaves_in_order": False}

    def test_sparseness_is_of_the_columns_of_W_and_the_rows_of_H_of_the_best_run(self):
        def hoyer(x):
            root = np.sqrt(len(x))
            return (root - x.sum() / np.linalg.norm(x)) / (root - 1)

        best = RUNS.loss.argmin()
        W, H = RUNS.W[best], RUNS.H[best]
        assert self.criteria.sparseness_W == pytest.approx(np.mean([hoyer(w) for w in W.T]))
        assert self.criteria.sparseness_H == pytest.approx(np.mean([hoyer(h) for h in H]))

    def test_the_order_of_the_runs_changes_nothing(self):
        turned = summarize_rank(RUNS.take(np.arange(8)[::-1]), VALIDATION, 0.25).criteria
        for name, value in self.criteria.as_row().items():
            assert getattr(turned, name) == (value and pytest.approx(value, rel=1e-9, abs=1e-12)), (
                name
            )


class TestOtherEvidence:
    """What does not come from the runs stands in the criteria as it was given."""

    rounds = CrossValidation(3, np.array([0.3, 0.5, 0.4, 0.45]), np.ones((4, 2)), 0.02, 2)
    blocks = BiCrossValidation(3, np.array([0.2, 0.4, 0.3, 0.5]))
    null = PermutationNull(3, np.array([5.0, 7.0]))

    @pytest.fixture(autouse=True)
    def _summarize(self):
        self.summary = summarize_rank(
            RUNS,
            self.rounds,
            bi_cross_validation=self.blocks,
            permutation=self.null,
            residual_excess=1.25,
        )
        self.criteria = self.summary.criteria

    def test_each_is_found_under_its_name(self):
        assert self.criteria.bi_cross_validation_error == pytest.approx(0.35)
        assert self.criteria.bi_cross_validation_error_se == pytest.approx(
            np.std([0.2, 0.4, 0.3, 0.5], ddof=1) / 2
        )
        assert self.criteria.null_losses == (5.0, 7.0)
        assert all(type(loss) is float for loss in self.criteria.null_losses)
        assert self.criteria.residual_excess == 1.25
        assert self.criteria.held_out_cost == 0.02
        assert self.criteria.n_fold_rounds == 2

    def test_none_pushes_out_another(self):
        plain = summarize_rank(RUNS).criteria
        for name in (*OF_RUNS, *OF_AGREEMENT, "sparseness_W", "amari_instability"):
            assert getattr(self.criteria, name) == getattr(plain, name) is not None, name
        assert self.criteria.held_out_error == pytest.approx(0.4125)

    def test_a_resample_has_as_many_folds_as_a_round(self):
        expected = fold_interval(self.rounds.fold_errors, 2)
        assert (self.criteria.held_out_error_low, self.criteria.held_out_error_high) == expected
        assert expected != fold_interval(self.rounds.fold_errors, 1)

    def test_the_consensus_is_that_of_the_labels(self):
        expected = summarize_consensus(self.summary.run_labels, 3)
        np.testing.assert_array_equal(self.summary.consensus.consensus, expected.consensus)

    def test_unknown_folds_and_losses_come_back_as_unknown(self):
        odd = replace(self.criteria, fold_errors=(0.3, np.nan), null_losses=(5.0, np.inf))
        back = Criteria.from_document(json.loads(json.dumps(odd.as_document(), allow_nan=False)))
        assert back.fold_errors[0] == 0.3
        assert np.isnan([back.fold_errors[1], back.null_losses[1]]).all()


def test_two_runs_are_evidence_of_agreement():
    two = summarize_rank(with_status(RUNS, Status.MAX_ITER, *range(2, 8)))
    assert two.criteria.n_good == 2
    assert two.consensus is not None
    assert two.criteria.dispersion is not None


def test_only_frobenius_has_a_sum_of_squares():
    runs = factorize(V, 2, range(3), loss="kullback-leibler")
    criteria = summarize_rank(runs).criteria
    assert criteria.loss == pytest.approx(runs.loss.min())
    assert criteria.rss is None
    assert criteria.explained_variance is None


def test_the_share_that_finds_the_best_again_is_of_the_best_run():
    """One run of its own kind: if it is the best, nobody finds it again; if it is the worst, most find the best."""
    W = RUNS.W.copy()
    W[4] = np.random.default_rng(2).random(W[4].shape)
    for loss, share in ((0.0, 0.0), (1e9, 6 / 7)):
        losses = RUNS.loss.copy()
        losses[4] = loss
        criteria = summarize_rank(replace(RUNS, W=W, loss=losses)).criteria
        assert criteria.best_run_reproduced == pytest.approx(share)


class TestRunsThatCountForNothing:
    @pytest.mark.parametrize("status", [Status.MAX_ITER, Status.NON_FINITE])
    def test_other_ends_than_converged_are_counted_and_left_out(self, status):
        spoilt = with_status(RUNS, status, 1, 5)
        summary = summarize_rank(spoilt)
        rest = summarize_rank(RUNS.take(np.array([0, 2, 3, 4, 6, 7])))
        assert (summary.criteria.n_runs, summary.criteria.n_good) == (8, 6)
        assert replace(summary.criteria, n_runs=6, n_non_finite=0) == rest.criteria
        assert summary.criteria.n_non_finite == (2 if status == Status.NON_FINITE else 0)
        np.testing.assert_array_equal(summary.run_seeds, [0, 2, 3, 4, 6, 7])

    def test_the_best_loss_of_a_run_that_did_not_converge_is_not_the_best(self):
        best = int(RUNS.loss.argmin())
        criteria = summarize_rank(with_status(RUNS, Status.MAX_ITER, best)).criteria
        assert criteria.loss == np.delete(RUNS.loss, best).min()

    def test_numbers_that_are_not_finite_stay_out(self):
        spoilt = with_status(RUNS, Status.NON_FINITE, 2)
        W, loss = spoilt.W.copy(), spoilt.loss.copy()
        W[2], loss[2] = np.nan, np.nan
        criteria = summarize_rank(replace(spoilt, W=W, loss=loss)).criteria
        assert all(value is None or np.isfinite(value) for value in criteria.as_row().values())

    def test_one_good_run_is_no_evidence_of_agreement(self):
        one = summarize_rank(with_status(RUNS, Status.MAX_ITER, *range(1, 8)))
        assert one.criteria.n_good == 1
        assert one.consensus is None
        for name in OF_AGREEMENT:
            assert getattr(one.criteria, name) is None, name
        for name in OF_RUNS:
            assert getattr(one.criteria, name) is not None, name

    def test_no_good_run_says_nothing(self):
        none = summarize_rank(with_status(RUNS, Status.MAX_ITER, *range(8)), VALIDATION)
        assert none.criteria.n_good == 0
        for name in (*OF_AGREEMENT, *OF_RUNS, "sparseness_W", "sparseness_H"):
            assert getattr(none.criteria, name) is None, name
        assert none.criteria.held_out_error == pytest.approx(0.4)
        assert none.run_labels.shape == (0, 24)


def test_rank_one_has_nothing_to_disagree_on():
    criteria = summarize_rank(factorize(V, 1, range(4))).criteria
    for name in (
        "cophenetic_correlation",
        "consensus_silhouette",
        "component_stability",
        "component_stability_min",
    ):
        assert getattr(criteria, name) is None, name


class TestDocuments:
    @pytest.fixture(autouse=True)
    def _summarize(self):
        self.criteria = summarize_rank(RUNS, VALIDATION, 0.25).criteria

    def test_json_and_back(self):
        text = json.dumps(self.criteria.as_document(), allow_nan=False)
        assert Criteria.from_document(json.loads(text)) == self.criteria
        unknown = summarize_rank(factorize(V, 1, range(1))).criteria
        text = json.dumps(unknown.as_document(), allow_nan=False)
        assert Criteria.from_document(json.loads(text)) == unknown

    def test_other_keys_are_left_aside(self):
        document = {**self.criteria.as_document(), "provenance": {"code": "x"}}
        assert Criteria.from_document(document) == self.criteria

    def test_infinite_numbers_become_unknown(self):
        odd = replace(self.criteria, loss=float("inf"), rss=float("nan"))
        assert odd.as_row()["loss"] is None
        assert odd.as_row()["rss"] is None

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_infinite_fold_errors_become_unknown_too(self, bad):
        odd = replace(self.criteria, fold_errors=(0.3, bad, 0.4))
        json.dumps(odd.as_document(), allow_nan=False)

    def test_the_keys_of_a_row_are_those_of_the_result_files(self):
        assert set(self.criteria.as_row()) >= {
            "rank",
            "n_runs",
            "n_good",
            "reconstruction_error",
            "reconstruction_error_median",
            "loss",
            "rss",
            "explained_variance",
            "svd_error",
            "held_out_error",
            "held_out_error_se",
            "cophenetic_correlation",
            "dispersion",
            "pac",
            "consensus_silhouette",
            "component_stability",
            "component_stability_min",
            "sparseness_W",
            "sparseness_H",
        }
